"""Exports a fine-tuned model to the files of another runtime, proved before they are kept."""

import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.model_folder import LoadedModel, load
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import CheckpointError, ConfigError
from bertune.evaluation.answers import decisions
from bertune.evaluation.given_texts import examples_of, labelled_rows_of
from bertune.evaluation.given_types import GivenLabelled, GivenTexts
from bertune.evaluation.logits import ComputeLogits, computing_logits
from bertune.evaluation.windows import mean_of_windows
from bertune.exports.agreement import Agreement, weights_digest
from bertune.exports.export_folder import check_replaceable, digests, new_export, write_agreement
from bertune.exports.folding import probabilities_account, with_folded_temperature
from bertune.exports.formats import FormatName, Inputs, find_format
from bertune.exports.proof_rows import rows_for
from bertune.exports.stored_sample import sampled, sampled_examples
from bertune.runtime.export_files import CARD_FILE
from bertune.runtime.export_speed import ExportSpeed, measured
from bertune.runtime.int8_agreement import Int8Agreement, Int8File, compare_int8, same_decisions
from bertune.runtime.logit_differences import compare
from bertune.runtime.padded_rows import ProofRows
from bertune.runtime.stored_rows import StoredRows, StoredValidation
from bertune.system.instructions import instructions
from bertune.tokenization.encoded_examples import EncodedExamples

_BETWEEN = ".between"
# A weight that is divided is rounded again.
_FOLDED_TOLERANCE = 1e-4
# A thousand rows have always enough for the model to be laid out for them.
_MANY_TOKENS = 1 << 30

Stage = Literal["writing", "predicting", "checking", "quantized"]


@dataclass(frozen=True)
class ExportProgress:
    """Progress of an export.

    Args:
        stage: `predicting` has the model answer the rows of the proof, `writing` writes the export, `checking` has the
            export answer them in a fresh process, `quantized` has the one in int8 answer the labelled rows.
        rows: done in this stage.
        total: rows of this stage; 0 for `writing`.
    """

    stage: Stage
    rows: int
    total: int


OnProgress = Callable[[ExportProgress], None]


def export(
    model: str | Path | LoadedModel,
    out: str | Path,
    *,
    format: FormatName,
    proof_rows: GivenTexts | None = None,
    int8: GivenLabelled | None = None,
    inputs: Inputs = "ids",
    on_progress: OnProgress | None = None,
) -> Agreement:
    """Exports a fine-tuned model, after having proved that the export equals it.

    The model's temperature is folded into the head of the export, so that softmax (of several labels a row the sigmoid)
    of its logits gives the calibrated probabilities in any program; see `with_folded_temperature`.

    The export is written beside its place, read again in a fresh process, and has to answer at least 1,000 rows as the
    model does; then it is moved into place. Otherwise nothing is left behind. See `rows_for` and `compare`.

    Args:
        model: a run folder, a model folder, or what `load` returned.
        out: a new folder, or that of an earlier export, which is replaced.
        format: `transformers` for a model folder that transformers and `load` read; `tf_checkpoint` for a TF2
            checkpoint with `bert_config.json` and `vocab.txt`, which needs no TensorFlow; `saved_model` for a
            SavedModel with the signature `serving_default`, which needs bertune[tensorflow]; `onnx` for one file of
            ONNX's standard operators, which needs bertune[onnx].
        proof_rows: texts on which the two are compared beside random rows, in a form that `predict` takes; None takes
            the questions of the demo.
        int8: labelled rows that the model was not trained on, in a form that `evaluate` takes. Given, the dense layers
            of an `onnx` export are quantized to 8 bits, which is kept if at least 99 % of the labels stay and the first
            metric loses at most one point. None leaves it in float32.
        inputs: what the export takes: `ids` of tokens; or, of a `saved_model` with BERT's WordPiece, `text`, strings
            that its graph tokenizes.
        on_progress: told how far it is.

    Returns:
        What the proof found, as `agreement.json` in the folder has it.

    Raises:
        ConfigError: no such format, its package is not installed, the model has no such form, or the folder holds
            something else.
        CheckpointError, DataError: the model or the rows cannot be read.
        ResourceError: not enough disk or memory.
        BertuneError: the export does not equal the model, or loses too much in int8; says by how much.

    Example:
        >>> agreement = bertune.export("runs/questions/model", "exported", format="tf_checkpoint")
        >>> agreement.rows >= 1000, agreement.max_difference <= agreement.tolerance
        (True, True)
    """
    chosen = find_format(format, inputs)
    folder = Path(out)
    check_replaceable(folder)
    loaded = model if isinstance(model, LoadedModel) else load(find_model_folder(Path(model)))
    chosen.check(loaded)
    if int8 is not None and chosen.quantize is None:
        raise ConfigError(f"{format} has no int8", hint="export to onnx")
    validation = None if int8 is None else _Validation.of(loaded, int8)
    given = None if proof_rows is None else examples_of(loaded.signature, proof_rows)
    rows = rows_for(loaded, given, with_strings=chosen.takes_texts)
    temperature, folded = loaded.signature.temperature, with_folded_temperature(loaded)
    tolerance = chosen.tolerance if temperature == 1.0 else max(chosen.tolerance, _FOLDED_TOLERANCE)
    with _computing(loaded) as compute:
        expected = compute(rows.encoded, on_batch=_counter("predicting", len(rows), on_progress))
        _check_finite(expected)
        model_speed = _model_speed(loaded, compute, rows)
    sample = sampled(rows, loaded)
    stored = StoredRows(rows.take(sample), expected[sample], tolerance, temperature, loaded.signature.kind)
    with new_export(folder) as temporary:
        between = temporary / _BETWEEN
        between.mkdir()
        _counter("writing", 0, on_progress)
        chosen.write(folded, temporary, between)
        answers = chosen.answer(rows, temporary, between, _counter("checking", len(rows), on_progress))
        # In the size of the model's own logits: at a low temperature the last bits of those are large in the export.
        answered = answers.logits * np.float32(temperature)
        difference = compare(expected, answered, tolerance=tolerance, kind=loaded.signature.kind)
        proved_int8 = None
        if validation is not None:
            assert chosen.quantize is not None
            file = chosen.quantize(folded, temporary, between)
            count = _counter("quantized", len(validation.rows), on_progress)
            made = chosen.answer(validation.rows, temporary, between, count).logits * np.float32(temperature)
            proved_int8 = validation.compare(made, loaded.signature, file)
            stored = replace(stored, validation=validation.stored(made, loaded))
            # As they will be asked again, in other batches.
            answers = chosen.answer(stored.asked, temporary, between, lambda _rows: None)
            stored.compare(answers.logits, folded.signature)
        shutil.rmtree(between)
        card = temporary / CARD_FILE  # is no part of the proof
        size = sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file() and path != card)
        stored.write(temporary)
        agreement = Agreement(
            format=chosen.name,
            rows=len(rows),
            text_rows=rows.texts,
            max_difference=difference.largest,
            tolerance=tolerance,
            tied_rows=difference.tied_rows,
            weights_digest=weights_digest(loaded.classifier),
            tokenizer_digest=loaded.tokenizer.digest,
            versions=_versions() | dict(answers.versions),
            probabilities=probabilities_account(folded.signature),
            warnings=(*chosen.warnings(loaded), *(() if chosen.takes_texts else _about_long_texts(loaded.signature))),
            files=digests(temporary),
            int8=proved_int8,
            instructions=instructions(),
            export_speed=answers.of_size(size),
            model_speed=model_speed,
        )
        write_agreement(temporary, agreement)
    return agreement


def _check_finite(logits: NDArray[np.float32]) -> None:
    """Refuses a model of which no export could be proved.

    Raises:
        CheckpointError: logits of it are not finite.
    """
    wrong = int((~np.isfinite(logits)).any(axis=1).sum())
    if wrong:
        raise CheckpointError(
            f"the model gives logits that are not finite numbers for {wrong:,} of {len(logits):,} rows",
            hint="the weights of this model cannot be used: train it again, with a lower --learning-rate",
        )


@dataclass(frozen=True, eq=False)
class _Validation:
    """Labelled rows on which an export in int8 has to answer as the model does.

    Args:
        encoded: the rows; one may have several windows.
        rows: their sequences.
        targets: of the rows.
        expected: (rows, outputs), logits of the model.
    """

    encoded: EncodedExamples
    rows: ProofRows
    targets: NDArray[Any]
    expected: NDArray[np.float32]

    @classmethod
    def of(cls, model: LoadedModel, given: GivenLabelled) -> "_Validation":
        labelled = labelled_rows_of(model.signature, given)
        encoded, config = labelled.encoded_for(model), model.classifier.encoder.config
        sequences = encoded.sequences
        rows = ProofRows(sequences, len(sequences), config.vocab_size, config.max_positions)
        targets = labelled.targets_for(model.signature)
        with _computing(model) as compute:
            return cls(encoded, rows, targets, compute(encoded))

    def compare(self, logits: NDArray[np.float32], signature: ModelSignature, file: Int8File) -> Int8Agreement:
        return compare_int8(self.expected, mean_of_windows(logits, self.encoded), self.targets, signature, file)

    def stored(self, logits: NDArray[np.float32], model: LoadedModel) -> StoredValidation:
        """Chooses what the export keeps of them, by what it has answered."""
        given = (decisions(each, model.signature) for each in (self.expected, mean_of_windows(logits, self.encoded)))
        chosen = sampled_examples(self.encoded, same_decisions(*given), model)
        return StoredValidation(
            self.encoded.take(chosen), self.expected[chosen], self.targets[chosen], len(chosen) == len(self.encoded)
        )


def _about_long_texts(signature: ModelSignature) -> tuple[str, ...]:
    """An export takes token ids: whoever makes them has to cut texts as training did."""
    if signature.long_text == "first":
        return ()
    averaged = " and average their logits" if signature.long_text == "windows" else ""
    return (
        f"texts over {signature.max_length} tokens: {signature.long_text_account()}; this export takes one sequence a "
        f"row and knows nothing of that, so give it such sequences{averaged}",
    )


@contextmanager
def _computing(model: LoadedModel) -> Iterator[ComputeLogits]:
    """Gets the model ready for its own answers, in fp32 whatever it was trained in."""
    encoder = model.classifier.encoder
    trained_in, encoder.compute_dtype = encoder.compute_dtype, torch.float32
    try:
        with computing_logits(model.classifier, tokens=_MANY_TOKENS) as compute:
            yield compute
    finally:
        encoder.compute_dtype = trained_in


def _model_speed(model: LoadedModel, compute: ComputeLogits, rows: ProofRows) -> ExportSpeed:
    size = sum(4 * parameter.numel() for parameter in model.classifier.parameters())
    return measured(compute, rows, threads=torch.get_num_threads(), size=size)


def _counter(stage: Stage, total: int, on_progress: OnProgress | None) -> Callable[[int], None]:
    """Starts a stage, and returns what counts its rows."""
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        if on_progress is not None:
            on_progress(ExportProgress(stage, done, total))

    count(0)
    return count


def _versions() -> dict[str, str]:
    packages = {name: metadata.version(name) for name in ("bertune", "torch", "numpy")}
    return {"python": platform.python_version(), **packages}
