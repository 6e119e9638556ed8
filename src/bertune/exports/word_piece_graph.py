"""BERT's tokenizer as plain TensorFlow operations, on all characters of a batch at once.

Like `tensorflow_program`, which alone imports it, this runs in a process of its own and imports no torch. Every step is
a table look-up or a scan over one flat array of the batch's characters; loops run over the characters of a piece and
the pieces of a word, and move every word of the batch on at once.
"""

from collections.abc import Sequence
from typing import Any, Final

import tensorflow as tf

from bertune.exports.program_description import TextDescription
from bertune.tokenization.components import MAX_CHARACTERS_PER_WORD
from bertune.tokenization.truncation import HEAD_SHARE
from bertune.tokenization.word_piece_tables import (
    ALONE,
    BLOCK,
    CASED,
    COMBINING_SHIFT,
    MARK,
    NODE_SHIFT,
    PASSED_OVER,
    SPACE,
    WordPieceTables,
)

_DEVICE: Final = "/CPU:0"
_REPLACEMENT: Final = 0xFFFD
_CAPITAL_SIGMA: Final = 0x3A3
_FINAL_SIGMA: Final = 0x3C2
_FIRST_NODE: Final = 2
# Above every combining class.
_CLASSES: Final = 256


class WordPieceGraph:
    """Adds the steps from strings to token ids to the graph that is being built.

    Args:
        tables: of the tokenizer; they become constants of the graph, once.
        described: how texts become rows.
    """

    def __init__(self, tables: WordPieceTables, described: TextDescription) -> None:
        self._described = described
        self._is_lowered = bool((tables.class_values & CASED).any())
        # String operations have no kernels on a GPU, and the loops would wait for it at every step.
        with tf.device(_DEVICE):
            self._tables = {name: tf.constant(array) for name, array in vars(tables).items()}

    def rows(self, texts: Sequence[Any]) -> dict[str, Any]:
        """Makes the encoder's padded arrays.

        Args:
            texts: one or two (rows,) tensors of strings in UTF-8. Bytes that are none are passed over, as the original
                does.

        Returns:
            `input_word_ids`, `input_mask` and `input_type_ids`, int32, (rows, longest row).
        """
        described = self._described
        with tf.device(_DEVICE):
            count = tf.shape(texts[0])[0]
            checks = [
                tf.debugging.Assert(tf.shape(column)[0] == count, ["there must be as many first texts as second ones"])
                for column in texts[1:]
            ]
            with tf.control_dependencies(checks):
                pieces = self._pieces(tf.concat(texts, axis=0))
            lengths, begins = (tf.split(each, len(texts)) for each in (pieces.row_lengths(), pieces.row_starts()))
            kept = _kept(lengths, described.max_length - 1 - len(texts))
            parts, end = [tf.fill([count, 1], described.cls_id)], tf.fill([count, 1], described.sep_id)
            for begin, whole, length in zip(begins, lengths, kept, strict=True):
                taken = _stretch(begin, whole, length, described.long_text)
                parts += [tf.gather(pieces.flat_values, taken), end]
            rows = tf.concat(parts, axis=1)
            ids = rows.to_tensor(described.pad_id)
            # Where there is no row at all there is a column, for programs that look for the first one of a row.
            ids = tf.pad(ids, [[0, 0], [0, tf.maximum(1 - tf.shape(ids)[1], 0)]])
            columns = tf.range(tf.shape(ids, out_type=tf.int64)[1])
            mask = columns < rows.row_lengths()[:, tf.newaxis]
            types = mask & (columns >= kept[0][:, tf.newaxis] + 2) if len(texts) > 1 else tf.zeros_like(mask)
            mask, types = tf.cast(mask, tf.int32), tf.cast(types, tf.int32)
        return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}

    def _pieces(self, texts: Any) -> Any:
        """Splits texts into pieces: ids, ragged (rows, pieces)."""
        decoded = tf.strings.unicode_decode(texts, "UTF-8", errors="replace", replacement_char=_REPLACEMENT)
        codes, rows = decoded.flat_values, decoded.value_rowids()
        if self._is_lowered:
            codes = self._with_final_sigmas(codes, rows)
        codes, rows = self._changed(codes, rows)
        if self._is_lowered:
            codes, rows = self._without_marks(codes, rows)
        codes, rows, starts = self._words(codes, rows)
        ids, places = self._spelled(codes, starts)
        return tf.RaggedTensor.from_value_rowids(ids, tf.gather(rows, places), nrows=tf.size(texts, out_type=tf.int64))

    def _with_final_sigmas(self, codes: Any, rows: Any) -> Any:
        """Lower-cases capital sigmas at the end of words: behind a cased letter, and before none."""
        found = self._looked_up("class", codes)
        seen = _places(found & PASSED_OVER == 0)
        is_cased, row = tf.gather(found & CASED != 0, seen), tf.gather(rows, seen)
        behind_letter = _before(is_cased, False) & (_before(row, -1) == row)
        before_letter = _after(is_cased, False) & (_after(row, -1) == row)
        is_final = (tf.gather(codes, seen) == _CAPITAL_SIGMA) & behind_letter & ~before_letter
        finals = tf.boolean_mask(seen, is_final)
        return tf.tensor_scatter_nd_update(codes, finals[:, tf.newaxis], tf.fill(tf.shape(finals), _FINAL_SIGMA))

    def _changed(self, codes: Any, rows: Any) -> tuple[Any, Any]:
        """Puts in the place of each character what it becomes, which may be nothing or several."""
        number = self._looked_up("change", codes) - 1
        stays, number = number < 0, tf.maximum(number, 0)
        offsets, replacements = self._tables["change_offsets"], self._tables["replacements"]
        # A character that stays is found behind the replacements.
        own = tf.range(tf.size(codes)) + tf.size(replacements)
        begins = tf.where(stays, own, tf.gather(offsets, number))
        ends = tf.where(stays, own + 1, tf.gather(offsets, number + 1))
        taken = tf.ragged.range(begins, ends, row_splits_dtype=tf.int64)
        source = tf.concat([replacements, codes], axis=0)
        return tf.gather(source, taken.flat_values), tf.gather(rows, taken.value_rowids())

    def _without_marks(self, codes: Any, rows: Any) -> tuple[Any, Any]:
        """Puts runs of combining characters into their order, and strips the marks among them."""
        found = self._looked_up("class", codes)
        combining = found // (1 << COMBINING_SHIFT)
        is_mark = found & MARK != 0

        def in_order() -> Any:
            begins_run = (combining == 0) | (_before(rows, -1) != rows)
            run = tf.cumsum(tf.cast(begins_run, tf.int64))
            return tf.argsort(run * _CLASSES + tf.cast(combining, tf.int64), stable=True)

        # Of marks that are stripped the order does not matter, and others are rare.
        order = tf.cond(tf.reduce_any((combining > 0) & ~is_mark), in_order, lambda: tf.range(tf.size(codes)))
        kept = tf.boolean_mask(order, ~tf.gather(is_mark, order))
        return tf.gather(codes, kept), tf.gather(rows, kept)

    def _words(self, codes: Any, rows: Any) -> tuple[Any, Any, Any]:
        """Drops white space.

        Returns:
            The other characters, their rows, and whether each begins a word. Of a text that is cut at its end those
            behind as many words as a row has tokens are left out, too: each word is one token or more.
        """
        found = self._looked_up("class", codes)
        is_space, is_alone = found & SPACE != 0, found & ALONE != 0
        is_first = _before(rows, -1) != rows
        starts = is_alone | is_first | _before(is_space | is_alone, True)
        kept = _places(~is_space)
        codes, rows, starts = (tf.gather(values, kept) for values in (codes, rows, starts))
        if self._described.long_text == "first":
            word = tf.cumsum(tf.cast(starts, tf.int32))
            first_word = tf.gather(word, tf.searchsorted(rows, rows))
            near = _places(word - first_word < self._described.max_length)
            codes, rows, starts = (tf.gather(values, near) for values in (codes, rows, starts))
        return codes, rows, starts

    def _spelled(self, codes: Any, starts: Any) -> tuple[Any, Any]:
        """Spells words with the longest pieces from their beginning, or as unknown.

        Args:
            codes: (characters,) of all words.
            starts: (characters,) whether each begins a word.

        Returns:
            Ids of the pieces, and the character at which each begins.
        """
        size = tf.size(codes)
        begins = _places(starts)
        ends = tf.concat([begins[1:], tf.fill([tf.minimum(1, tf.size(begins))], size)], axis=0)
        is_short = ends - begins <= MAX_CHARACTERS_PER_WORD
        word = tf.cumsum(tf.cast(starts, tf.int32)) - 1
        walked = _places(tf.gather(is_short, word))
        lengths, ids = self._longest_pieces(codes, walked, tf.gather(ends, word), starts)

        def take_pieces(place: Any, number: Any, is_piece: Any, is_spelled: Any) -> tuple[Any, ...]:
            length = tf.gather(lengths, place)
            stuck = tf.boolean_mask(number, length == 0)
            is_spelled = tf.tensor_scatter_nd_update(is_spelled, stuck[:, tf.newaxis], tf.zeros_like(stuck, tf.bool))
            is_piece = tf.tensor_scatter_nd_update(is_piece, place[:, tf.newaxis], tf.ones_like(place, tf.bool))
            goes_on = (length > 0) & (place + length < tf.gather(ends, number))
            return (
                tf.boolean_mask(place + length, goes_on),
                tf.boolean_mask(number, goes_on),
                is_piece,
                is_spelled,
            )

        *_, is_piece, is_spelled = tf.while_loop(
            lambda place, *_: tf.size(place) > 0,
            take_pieces,
            (begins, tf.range(tf.size(begins)), tf.zeros([size], tf.bool), tf.ones([tf.size(begins)], tf.bool)),
            shape_invariants=(tf.TensorShape([None]),) * 4,
        )
        spelled = tf.gather(is_spelled, word)
        places = _places(tf.where(spelled, is_piece, starts))
        return tf.gather(tf.where(spelled, ids, self._described.unk_id), places), places

    def _longest_pieces(self, codes: Any, walked: Any, ends: Any, starts: Any) -> tuple[Any, Any]:
        """Finds the longest piece at each character, by a walk through the trie from all of them at once.

        Args:
            codes: (characters,).
            walked: the characters to begin at.
            ends: (characters,) where the word of each ends.
            starts: (characters,) whether each begins a word.

        Returns:
            Length and id, (characters,); length 0 where there is no piece.
        """
        transitions, piece_ids = self._tables["transitions"], self._tables["piece_ids"]
        last = transitions.shape[0] - 1

        def step(depth: Any, place: Any, node: Any, lengths: Any, ids: Any) -> tuple[Any, ...]:
            is_inside = place + depth < tf.gather(ends, place)
            place, node = tf.boolean_mask(place, is_inside), tf.boolean_mask(node, is_inside)
            wanted = node * (1 << NODE_SHIFT) + tf.cast(tf.gather(codes, place + depth), tf.int64)
            reached = tf.minimum(tf.searchsorted(transitions, wanted), last)
            exists = tf.gather(transitions, reached) == wanted
            place, reached = tf.boolean_mask(place, exists), tf.boolean_mask(reached, exists)
            piece = tf.gather(piece_ids, reached)
            is_piece = piece >= 0
            at = tf.boolean_mask(place, is_piece)[:, tf.newaxis]
            lengths = tf.tensor_scatter_nd_update(lengths, at, tf.fill([tf.shape(at)[0]], depth + 1))
            ids = tf.tensor_scatter_nd_update(ids, at, tf.boolean_mask(piece, is_piece))
            return depth + 1, place, tf.cast(reached, tf.int64) + _FIRST_NODE, lengths, ids

        roots = tf.where(tf.gather(starts, walked), tf.constant(0, tf.int64), tf.constant(1, tf.int64))
        nothing = tf.zeros_like(codes)
        *_, lengths, ids = tf.while_loop(
            lambda _depth, place, *_: tf.size(place) > 0,
            step,
            (tf.constant(0), walked, roots, nothing, nothing),
            shape_invariants=(tf.TensorShape([]), *(tf.TensorShape([None]),) * 4),
        )
        return lengths, ids

    def _looked_up(self, table: str, codes: Any) -> Any:
        block = tf.gather(self._tables[f"{table}_blocks"], codes // BLOCK)
        return tf.gather(self._tables[f"{table}_values"], block * BLOCK + codes % BLOCK)


def _kept(lengths: Sequence[Any], room: int) -> list[Any]:
    """Says how many tokens stay of each text; see `truncated_lengths`."""
    if len(lengths) == 1:
        return [tf.minimum(lengths[0], room)]
    first, second = lengths
    return [
        tf.minimum(first, tf.maximum(room - second, room - room // 2)),
        tf.minimum(second, tf.maximum(room - first, room // 2)),
    ]


def _stretch(begins: Any, whole: Any, kept: Any, long_text: str) -> Any:
    """Numbers the pieces that stay of each text: its first ones, or for head-tail a quarter of them and its last."""
    heads = kept if long_text == "first" else (kept + HEAD_SHARE - 1) // HEAD_SHARE
    taken = tf.ragged.range(begins, begins + heads)
    if long_text == "head-tail":
        taken = tf.concat([taken, tf.ragged.range(begins + whole - (kept - heads), begins + whole)], axis=1)
    return taken


def _places(condition: Any) -> Any:
    """The numbers of those for which a condition holds, int32."""
    return tf.cast(tf.where(condition)[:, 0], tf.int32)


def _before(values: Any, first: Any) -> Any:
    """The value before each, and another before the first."""
    return tf.concat([tf.constant([first], values.dtype), values], axis=0)[:-1]


def _after(values: Any, last: Any) -> Any:
    """The value behind each, and another behind the last."""
    return tf.concat([values, tf.constant([last], values.dtype)], axis=0)[1:]
