"""A tokenizer that the `tokenizers` library runs as its tokenizer.json says."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tokenizers
from numpy.typing import NDArray

from bertune.errors import CheckpointError, DataError
from bertune.tokenization.added_tokens import AddedToken, tokens_of_entries
from bertune.tokenization.library_files import LibraryFiles, as_bytes_of, digest_of, write_library_files
from bertune.tokenization.pair_template import PairTemplate
from bertune.tokenization.parallelism import guard_forks
from bertune.tokenization.tokenizer_protocol import AlignedPiece, WhiteSpace
from bertune.tokenization.tokenizer_steps import NORMALIZER, PRE_TOKENIZER, steps_of, white_space_of
from bertune.tokenization.valid_text import valid_text
from bertune.tokenization.vocabulary import MAX_PIECES

# The library keeps much beside the ids of each text until it is asked for them; chunks bound that memory.
_TEXTS_PER_CHUNK = 8192
#: What stands for half of a surrogate pair, which UTF-8 cannot hold: Unicode's own sign for what cannot be decoded.
_REPLACEMENT = "\ufffd"
_PROBES = ("A b", "c")


class LibraryTokenizer:
    """Splits text as a tokenizer.json says: byte-level BPE, Unigram, WordPiece of other families than BERT.

    Special tokens that stand in a text are special there, as in transformers, but for files that say
    `split_special_tokens`.

    Args:
        files: what the files of a folder say.

    Raises:
        CheckpointError: the library cannot run it, or it is not an encoder's.
    """

    def __init__(self, files: LibraryFiles) -> None:
        guard_forks()
        path, values = files.path, files.values
        normalizers, pre_tokenizers = (steps_of(path, values, part) for part in (NORMALIZER, PRE_TOKENIZER))
        self._files = files
        self._pipeline = _pipeline_of(files)
        entries = ((token["id"], token) for token in values["added_tokens"])
        self._added = tuple(tokens_of_entries(path, entries))
        self._check_ids()
        kinds = {step["type"] for step in (*normalizers, *pre_tokenizers)}
        self._algorithm = "byte-level BPE" if "ByteLevel" in kinds else str(files.model["type"])
        self._white_space = white_space_of(normalizers, pre_tokenizers, tokens=[token.content for token in self._added])
        lower = self._try(lambda: self._pipeline.normalizer.normalize_str("ABC")) if normalizers else "ABC"
        self._do_lower_case = lower == "abc"
        template = files.template
        self._check_template(template)
        # Where the model takes no types, those of the template are never asked for.
        segments = template.has_segments and files.has_types
        self._template = PairTemplate(template.single, template.pair, has_segments=segments)
        self._digest = digest_of(files, self._template)

    def __reduce__(self) -> tuple[type["LibraryTokenizer"], tuple[LibraryFiles]]:
        """Sends what the files say; the pipeline is built of it again."""
        return LibraryTokenizer, (self._files,)

    @property
    def template(self) -> PairTemplate:
        """Where its special tokens stand around texts."""
        return self._template

    @property
    def white_space(self) -> WhiteSpace:
        """What white space means to the pieces around it."""
        return self._white_space

    @property
    def algorithm(self) -> str:
        """Name of the algorithm that splits words."""
        return self._algorithm

    @property
    def vocab_size(self) -> int:
        """The largest id and one: the rows that the encoder's table must have."""
        return self._vocab_size

    @property
    def do_lower_case(self) -> bool:
        """Whether text is lower-cased."""
        return self._do_lower_case

    @property
    def added_tokens(self) -> tuple[AddedToken, ...]:
        """Tokens that are cut out of texts before words are split, in the order of their ids."""
        return self._added

    @property
    def pad_id(self) -> int:
        """Id of the padding piece."""
        (number,) = self.convert_tokens_to_ids([self._files.roles["pad_token"]])
        return number

    @property
    def unk_id(self) -> int | None:
        """Id of the piece for what the vocabulary cannot spell; None where it spells everything."""
        model = self._files.model
        if self._algorithm == "byte-level BPE":
            return None
        if model["type"] == "Unigram":
            number = model.get("unk_id")
            return number if isinstance(number, int) and not model.get("byte_fallback") else None
        unk = model.get("unk_token")
        return self._pipeline.token_to_id(unk) if isinstance(unk, str) else None

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal, over all that decides the ids of a text and the special ids around it."""
        return self._digest

    @property
    def code_digest(self) -> str:
        """SHA-256, hexadecimal, over the tokenizer and the versions of the code that runs it."""
        versions = f"bertune {metadata.version('bertune')} tokenizers {metadata.version('tokenizers')}"
        return hashlib.sha256(f"{versions} {self._digest}".encode()).hexdigest()

    def encode_flat(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids of all texts one after another, without special tokens, and where each text starts and ends.

        Returns:
            Flat ids, and offsets (texts + 1): text i is `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            CheckpointError: the library fails on a text.
            DataError: an entry is not a string; names its number from 0.
        """
        flat = [np.empty(0, np.int32)]
        lengths = [np.zeros(1, np.int64)]
        for chunk in self._chunks(texts):
            flat.append(np.fromiter(chain.from_iterable(chunk), np.int32))
            lengths.append(np.fromiter(map(len, chunk), np.int64, len(chunk)))
        return np.concatenate(flat), np.cumsum(np.concatenate(lengths))

    def align(self, text: str) -> list[AlignedPiece]:
        """Pieces of one text, as many as it has ids, each with its place in the text as it was given.

        Words are those of the pre-tokenizer; where that does not split a text, they are parted by white space.
        """
        valid = valid_text(text, 0, stand_in=_REPLACEMENT)
        found = self._try(lambda: self._pipeline.encode(valid, add_special_tokens=False))
        numbers = [word or 0 for word in found.word_ids]
        if self._white_space == "unknown":
            starts = [place for place in range(1, len(text)) if text[place - 1].isspace() and not text[place].isspace()]
            numbers = [int(np.searchsorted(starts, end - 1, side="right")) for _, end in found.offsets]
        # The library's own `tokens` has the characters themselves where a piece is unknown or was added.
        pieces = (self._pipeline.id_to_token(number) or "" for number in found.ids)
        aligned = zip(pieces, numbers, found.offsets, strict=True)
        return [AlignedPiece(piece, number, *place) for piece, number, place in aligned]

    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """Ids of pieces.

        Raises:
            DataError: a piece is not in the vocabulary.
        """
        ids = []
        for token in tokens:
            number = self._pipeline.token_to_id(token)
            if number is None:
                raise DataError(f"the token {token!r} is not in the vocabulary")
            ids.append(number)
        return ids

    def save(self, directory: str | os.PathLike[str], *, model_max_length: int = 512) -> None:
        """Writes tokenizer.json and tokenizer_config.json into a directory, made when absent.

        transformers' `AutoTokenizer.from_pretrained(directory)` then gives the same ids.

        Args:
            directory: where to.
            model_max_length: the most tokens the model takes, for those who read tokenizer_config.json.
        """
        has_segments = self._template.has_segments
        write_library_files(Path(directory), self._files, has_segments=has_segments, model_max_length=model_max_length)

    def _chunks(self, texts: Sequence[str]) -> Iterator[list[list[int]]]:
        if isinstance(texts, str):
            raise DataError("expected a sequence of texts, got one string", hint="put it into a list")
        for start in range(0, len(texts), _TEXTS_PER_CHUNK):
            chunk = [
                valid_text(text, number, stand_in=_REPLACEMENT)
                for number, text in enumerate(texts[start : start + _TEXTS_PER_CHUNK], start)
            ]
            encodings = self._try(lambda: self._pipeline.encode_batch_fast(chunk, add_special_tokens=False))  # noqa: B023
            yield [encoding.ids for encoding in encodings]

    def _try(self, call: Any) -> Any:
        try:
            return call()
        except BaseException as error:
            _refuse(self._files.path, "fails on a text", error)

    def _check_ids(self) -> None:
        """Compares the ids that the library gives with those of the files, and finds the largest."""
        for token in self._added:
            number = self._pipeline.token_to_id(token.content)
            if number != token.id:
                raise CheckpointError(
                    f"{self._files.path}: the added token {token.content!r:.60} has the id {token.id}, expected "
                    f"{number}, the next free one",
                    hint="use the files of one model, as transformers saved them: tokenizer.save_pretrained(FOLDER)",
                )
        vocab = self._files.model["vocab"]
        largest = len(vocab) - 1 if isinstance(vocab, list) else max(vocab.values())
        self._vocab_size = 1 + max(largest, *(token.id for token in self._added), 0)
        if self._vocab_size > MAX_PIECES:
            raise CheckpointError(f"{self._files.path}: {self._vocab_size:,} ids, more than any vocabulary has")

    def _check_template(self, template: PairTemplate) -> None:
        """Compares a template with what the library writes around two texts."""
        for texts in (_PROBES[:1], _PROBES):
            pairs = len(texts) > 1
            found = self._try(lambda: self._pipeline.encode(*texts))  # noqa: B023
            alone = [self._try(lambda: self._pipeline.encode(text, add_special_tokens=False).ids) for text in texts]  # noqa: B023
            before, *behind = (self.convert_tokens_to_ids(gap) for gap in template.gaps(pairs=pairs))
            ids, types = list(before), [0] * len(before)
            for number, (text, gap) in enumerate(zip(alone, behind, strict=True)):
                ids += text + gap
                types += [number if template.has_segments else 0] * (len(text) + len(gap))
            if (found.ids, found.type_ids) != (ids, types):
                raise CheckpointError(
                    f"{self._files.path}: the post-processor writes {found.tokens} for {texts}, not its own template"
                )


def _pipeline_of(files: LibraryFiles) -> tokenizers.Tokenizer:
    try:
        pipeline = tokenizers.Tokenizer.from_buffer(as_bytes_of(files))
        pipeline.encode_special_tokens = files.splits_special
    except BaseException as error:
        _refuse(files.path, "cannot read it", error)
    return pipeline


def _refuse(path: Path, what: str, error: BaseException) -> NoReturn:
    """Tells the errors of the library, a panic of its language among them, from an interrupt."""
    if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError | CheckpointError | DataError):
        raise error
    raise CheckpointError(
        f"{path}: the tokenizers library {what} ({str(error)[:200]})", hint="copy the tokenizer's files again"
    ) from error
