"""Rows that a model answers and is scored on: texts, or what `bertune encode` made of them."""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples, LabelSet
from bertune.data.read_report import ReadReport
from bertune.evaluation.predictor import TokenizedModel
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.long_texts import LongText, LongTexts


class LabelledRows(ABC):
    """Rows in the order of their source, with their labels where they have any."""

    @property
    @abstractmethod
    def report(self) -> ReadReport:
        """The account of the rows when they were read."""

    @property
    @abstractmethod
    def texts(self) -> Examples | None:
        """The texts; None where only their tokens were kept."""

    @property
    @abstractmethod
    def example_ids(self) -> NDArray[np.int64]:
        """(rows,) position of each in its data set, from 0."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def encoded_for(self, model: TokenizedModel) -> EncodedExamples:
        """Gives the token ids, as the model was trained.

        Raises:
            ConfigError: the model takes other rows: pairs or single texts, or of another tokenizer or length.
        """

    @abstractmethod
    def long_texts_of(self, encoded: EncodedExamples, mode: LongText) -> LongTexts:
        """Counts the rows that were too long, and says what became of them.

        Args:
            encoded: from `encoded_for`.
            mode: of the model.
        """

    @abstractmethod
    def targets_for(self, signature: ModelSignature) -> NDArray[Any]:
        """Gives class ids, or rows of 0 and 1, in the model's label order, or values for regression.

        Raises:
            ConfigError: classes for a model of values, or the other way round.
            DataError: there are no labels, one that training did not know, or a value that is no number or out of
                range; names the row.
        """

    @abstractmethod
    def where(self, row: int) -> str:
        """Names the place of a row, for messages and reports."""

    @abstractmethod
    def digest(self) -> str:
        """Gives the SHA-256 of texts and labels, or of tokens and targets: the same rows are known by any path."""


@dataclass(frozen=True)
class TextRows(LabelledRows):
    """Rows with their texts.

    Args:
        examples: the texts.
    """

    examples: Examples

    @property
    def report(self) -> ReadReport:
        """The account of the read."""
        return self.examples.report

    @property
    def texts(self) -> Examples:
        """The texts."""
        return self.examples

    @property
    def example_ids(self) -> NDArray[np.int64]:
        """(rows,) the numbers from 0."""
        return np.arange(len(self))

    def __len__(self) -> int:
        return len(self.examples)

    def encoded_for(self, model: TokenizedModel) -> EncodedExamples:
        """Encodes the texts; see `LabelledRows`."""
        signature, examples = model.signature, self.examples
        signature.check_texts(given_pair=examples.texts_b is not None, where=examples.report.path)
        return encode_examples(
            examples.texts_a,
            examples.texts_b,
            model.tokenizer,
            signature.max_length,
            long_text=signature.long_text,
            window_stride=signature.window_stride,
        )

    def long_texts_of(self, encoded: EncodedExamples, mode: LongText) -> LongTexts:
        """Counts the texts that were too long; see `LabelledRows`."""
        return LongTexts.of(encoded, mode)

    def targets_for(self, signature: ModelSignature) -> NDArray[Any]:
        """Turns the label words into targets; see `LabelledRows`."""
        labels = LabelSet(signature.labels) if signature.kind.has_labels else None
        return self.examples.targets_for(signature.kind, labels, signature.target_range)

    def where(self, row: int) -> str:
        """Names file and line."""
        return self.examples.where(row)

    def digest(self) -> str:
        """Gives the SHA-256 of texts and labels."""
        columns = (self.examples.texts_a, self.examples.texts_b, self.examples.labels, self.examples.label_sets)
        return hashlib.sha256(json.dumps(columns, allow_nan=False).encode()).hexdigest()
