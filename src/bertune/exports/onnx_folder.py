"""The format `onnx`: one file of standard operators, with the tokenizer beside it."""

import json
from collections.abc import Callable
from pathlib import Path

from bertune.checkpoints.model_folder import LoadedModel, config_values
from bertune.errors import ConfigError
from bertune.exports.formats import Format
from bertune.exports.model_description import write_texts
from bertune.runtime.exported_model import MODEL_FILE
from bertune.runtime.fresh_answers import Answers, answers_of
from bertune.runtime.int8_agreement import Int8File
from bertune.runtime.padded_rows import ProofRows
from bertune.system.instructions import integer_instructions

# Sums are added in another order than ours.
_TOLERANCE = 1e-4
# A protobuf message holds less than 2 GiB; some of it are nodes and names.
_MOST_BYTES = 2**31 - 2**24
_RUNTIME = "bertune.runtime.onnx_answers"


def _check(model: LoadedModel) -> None:
    size = sum(4 * parameter.numel() for parameter in model.classifier.parameters())
    if size > _MOST_BYTES:
        raise ConfigError(
            f"a model of {size / 1e9:.1f} GB does not fit into one ONNX file, which holds less than 2 GiB",
            hint="export to transformers",
        )


def _write(model: LoadedModel, folder: Path, _between: Path) -> None:
    from bertune.exports.onnx_program import onnx_model

    made = onnx_model(model)
    (folder / MODEL_FILE).write_bytes(made.SerializeToString(deterministic=True))
    write_texts(model, folder)
    config = config_values(model.classifier, model.signature)
    (folder / "config.json").write_text(
        json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def _answer(rows: ProofRows, folder: Path, between: Path, on_rows: Callable[[int], None]) -> Answers:
    return answers_of(_RUNTIME, rows, folder, between, on_rows)


def _quantize(model: LoadedModel, folder: Path, _between: Path) -> Int8File:
    from bertune.exports.onnx_program import onnx_model

    file = folder / MODEL_FILE
    exact_bytes = file.stat().st_size
    instructions = integer_instructions()
    # Without them two products are added up in 16 bits, which eight bits of a weight may exceed.
    bits = 7 if instructions is None else 8
    file.write_bytes(onnx_model(model, weight_bits=bits).SerializeToString(deterministic=True))
    return Int8File(bits == 7, instructions or "none", (file.stat().st_size, exact_bytes))


FORMAT = Format(
    name="onnx",
    tolerance=_TOLERANCE,
    check=_check,
    write=_write,
    answer=_answer,
    quantize=_quantize,
    packages=("onnx", "onnxruntime"),
    extra="onnx",
)
