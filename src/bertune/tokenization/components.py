"""Google's BERT tokenization, put together from components of the Rust library `tokenizers`.

Source: `FullTokenizer` of tf-models-official 2.20.0, official/nlp/tools/tokenization.py. The library's own
`BertNormalizer` and `BertPreTokenizer` differ from it (docs/concepts/tokenizer.md lists every difference), so the
steps are spelled out here over frozen Unicode 14.0.0 classes. Everything lives in components, so `tokenizer.json`
carries it to any other program that reads that file.
"""

from bisect import bisect_right
from collections.abc import Collection, Container, Iterable, Mapping, Sequence

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from bertune.tokenization import unicode_tables
from bertune.tokenization.added_tokens import AddedToken
from bertune.tokenization.pair_template import PairTemplate

#: Longer words become [UNK]. The original's value; the first BERT code had 200, the library's default is 100.
MAX_CHARACTERS_PER_WORD = 400

#: The code points that the original sets apart as words of their own; its list, not the whole of a Unicode script.
CJK = "4E00-9FFF 3400-4DBF 20000-2A6DF 2A700-2B73F 2B740-2B81F 2B820-2CEAF F900-FAFF 2F800-2FA1F"

#: Never characters in any Unicode version: nothing lower-cases, decomposes or strips them.
_NONCHARACTERS = ("\U0010ffff", "\U0010fffe", "\U000fffff", "\U000ffffe", "\U000effff", "\U000efffe")


def build_pipeline(
    vocab: Mapping[str, int],
    *,
    do_lower_case: bool,
    template: PairTemplate,
    unk: str,
    added: Sequence[AddedToken] = (),
) -> Tokenizer:
    """Builds the whole tokenizer.

    No special token of BERT's is registered with it: in the original, a literal "[SEP]" in a text is three words.

    Args:
        vocab: piece to id, ids 0 to n-1.
        do_lower_case: lower-case and strip accents, or keep the text as it is.
        template: where the special tokens stand, all of them in the vocabulary.
        unk: the token for a word that the vocabulary cannot spell.
        added: tokens that are cut out of texts, in the order of their ids.
    """
    tokenizer = Tokenizer(
        WordPiece(
            dict(vocab),
            unk_token=unk,
            continuing_subword_prefix="##",
            max_input_chars_per_word=MAX_CHARACTERS_PER_WORD,
        )
    )
    characters = set("".join([*vocab, *(token.content for token in added)]))
    steps = normalizer_steps(characters, do_lower_case=do_lower_case)
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(f"{_character_class(unicode_tables.WHITESPACE)}+"), "removed"),
            pre_tokenizers.Split(Regex(_character_class(f"{unicode_tables.PUNCTUATION} {CJK}")), "isolated"),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=_processing(template, pairs=False),
        pair=_processing(template, pairs=True),
        special_tokens=[(piece, vocab[piece]) for piece in template.pieces],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    # The library numbers them in this order, behind the vocabulary. None is special to it: with `split_special_tokens`,
    # which keeps a literal "[SEP]" plain text for transformers, it would not look for special tokens at all.
    tokenizer.add_tokens(
        [
            tokenizers.AddedToken(
                token.content,
                single_word=token.single_word,
                lstrip=token.lstrip,
                rstrip=token.rstrip,
                normalized=token.normalized,
            )
            for token in added
        ]
    )
    return tokenizer


def stand_in(characters: Container[str]) -> str:
    """The noncharacter that takes the place of what no vocabulary can hold; itself in no piece of this one.

    A word with it becomes [UNK], just as the word with the original character does.

    Args:
        characters: of all pieces, or a text of all of them.
    """
    return next(char for char in _NONCHARACTERS if char not in characters)


def normalizer_steps(characters: Collection[str], *, do_lower_case: bool) -> list[normalizers.Normalizer]:
    """Cleans the text and, on demand, lower-cases it and strips its accents, in the order of the original.

    Args:
        characters: of all pieces.
        do_lower_case: whether there is more than the first step; the last one then strips the marks.
    """
    steps: list[normalizers.Normalizer] = [_replace(_character_class(unicode_tables.REMOVED), "")]
    if do_lower_case:
        cased, ignorable = (_character_class(table) for table in (unicode_tables.CASED, unicode_tables.IGNORABLE))
        steps += [
            # The library's lower-casing knows later characters than Unicode 14; a stand-in keeps them untouched.
            _replace(_unknown_characters(characters), stand_in(characters)),
            # Python's lower() turns a capital sigma into the final form at the end of a word, the library never does.
            _replace(rf"{cased}{ignorable}*\KΣ(?!{ignorable}*{cased})", "ς"),
            # The library's decompositions are older than Unicode 14; this is the one character it lacks.
            normalizers.Replace("\U00011938", "\U00011935\U00011930"),
            normalizers.Lowercase(),
            normalizers.NFD(),
            _replace(_character_class(unicode_tables.MARKS), ""),
        ]
    return steps


def _processing(template: PairTemplate, *, pairs: bool) -> str:
    """Writes a template as the library does: each piece and each place of a text with its type."""
    before, *behind = template.gaps(pairs=pairs)
    parts = [f"{piece}:0" for piece in before]
    for place, gap in zip("AB", behind, strict=False):
        type_id = int(place == "B" and template.has_segments)
        parts += [f"${place}:{type_id}", *(f"{piece}:{type_id}" for piece in gap)]
    return " ".join(parts)


def _replace(pattern: str, content: str) -> normalizers.Normalizer:
    return normalizers.Replace(Regex(pattern), content)


def _unknown_characters(characters: Iterable[str]) -> str:
    """A pattern for what Unicode 14 has not assigned, except where it still decides ids.

    Unassigned code points among the CJK ranges are words of their own, and a vocabulary may hold later characters.
    """
    unassigned = ranges(unicode_tables.UNASSIGNED)
    starts = [first for first, _ in unassigned]
    codes = sorted(map(ord, characters))
    held = [code for code in codes if (place := bisect_right(starts, code)) and code <= unassigned[place - 1][1]]
    kept = _character_class(f"{CJK} {' '.join(f'{code:X}' for code in held)}")
    return f"{_character_class(unicode_tables.UNASSIGNED)}(?<!{kept})"


def _character_class(table: str) -> str:
    """Writes a table of hexadecimal code points and ranges as a character class of a regular expression."""
    return "[" + "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in ranges(table)) + "]"


def ranges(table: str) -> list[tuple[int, int]]:
    """Reads a table of hexadecimal code points and ranges; the ends belong to it."""
    ends = (part.split("-") for part in table.split())
    return [(int(end[0], 16), int(end[-1], 16)) for end in ends]
