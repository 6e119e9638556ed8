"""An ONNX file that computes logits of encoded rows."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.batches.sampler import batches_by_tokens
from bertune.errors import CheckpointError, ConfigError
from bertune.evaluation.windows import mean_of_windows
from bertune.runtime.external_data import refuse_external_data
from bertune.runtime.padded_rows import padded
from bertune.system.processors import threads_of_products
from bertune.tokenization.encoded_examples import EncodedExamples

# Enough tokens to keep the matrix products busy, few enough for their activations to stay near the processor.
_BATCH_TOKENS: Final = 4096
_ERRORS_ONLY: Final = 3
# Since its version 1.29 it tells its maker of each session, and keeps what it could not send on disk; source:
# https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md.
_NO_TELEMETRY: Final = {"ORT_DISABLE_TELEMETRY": "1"}
# Bytes; what is smaller stays in the file itself.
_LEAST_MAPPED: Final = "1024"


class OnnxSession:
    """A file in ONNX Runtime, on the CPU; its telemetry is off.

    Args:
        path: of the file.
        threads: of one product; None takes `threads_of_products`, which ONNX Runtime does not know of by itself.
        laid_out: whether it is of `lay_out`, by this process or one that started it: it is taken as it is, and its
            weights, in a file beside it, are mapped.

    Raises:
        ConfigError: onnxruntime is not installed.
        CheckpointError: it cannot read the file, or the file has other inputs or outputs, or weights in other files.
    """

    def __init__(self, path: Path, *, threads: int | None = None, laid_out: bool = False) -> None:
        onnxruntime = _onnxruntime(path)
        options = _options(onnxruntime, threads)
        if laid_out:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        else:
            refuse_external_data(path)
        self._session = _opened(onnxruntime, path, options)
        self.version = str(onnxruntime.__version__)
        self._inputs = [given.name for given in self._session.get_inputs()]
        unknown = set(self._inputs) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown or [made.name for made in self._session.get_outputs()] != ["logits"]:
            raise CheckpointError(f"{path}: not an ONNX file of bertune: other inputs or outputs")
        self._outputs = int(self._session.get_outputs()[0].shape[-1])

    def run(self, ids: NDArray[Any], mask: NDArray[Any], types: NDArray[Any]) -> NDArray[np.float32]:
        """Computes logits of padded rows, all three (rows, columns).

        Returns:
            (rows, outputs).
        """
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        feeds = {name: np.ascontiguousarray(given[name], dtype=np.int64) for name in self._inputs}
        made: Sequence[NDArray[np.float32]] = self._session.run(["logits"], feeds)
        return made[0]

    def logits(self, encoded: EncodedExamples, *, on_batch: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Computes the logits of examples; see `Predictor`."""
        sequences = encoded.sequences
        begins_example = np.zeros(len(sequences), bool)
        begins_example[encoded.first_sequences] = True
        logits = np.zeros((len(sequences), self._outputs), np.float32)
        for indices in batches_by_tokens(sequences.lengths, _BATCH_TOKENS):
            batch = padded(sequences.take(indices))
            logits[indices] = self.run(batch["input_word_ids"], batch["input_mask"], batch["input_type_ids"])
            if on_batch is not None:
                on_batch(int(begins_example[indices].sum()))
        return mean_of_windows(logits, encoded)


def lay_out(path: Path, out: Path) -> None:
    """Writes a file as ONNX Runtime computes it here, and its weights, packed for their products, into one beside it.

    Sessions of such a file map the weights: those of several processes are in memory once.

    Args:
        path: of the file.
        out: of the new file, of this version of ONNX Runtime and this processor alone.

    Raises:
        ConfigError, CheckpointError: see `OnnxSession`.
    """
    onnxruntime = _onnxruntime(path)
    refuse_external_data(path)
    options = _options(onnxruntime, 1)
    options.optimized_model_filepath = str(out)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", f"{out.name}.weights")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", _LEAST_MAPPED)
    options.add_session_config_entry("session.save_external_prepacked_constant_initializers", "1")
    _opened(onnxruntime, path, options)


def _onnxruntime(path: Path) -> Any:
    os.environ.update(_NO_TELEMETRY)  # it is read once, when the library is loaded
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(f'{path}: needs onnxruntime: pip install "bertune[onnx]"') from error
    return onnxruntime


def _options(onnxruntime: Any, threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads or threads_of_products()
    # Threads that wait for each other between requests take the processor from whatever else there is.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _opened(onnxruntime: Any, path: Path, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a class for each kind of fault, of no common base but this
        problem = (str(error).strip().splitlines() or [""])[0]
        raise CheckpointError(f"{path}: ONNX Runtime cannot read it: {problem}") from error
