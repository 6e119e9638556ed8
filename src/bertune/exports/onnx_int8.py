"""Quantizes an ONNX file, in a process that imports no torch."""

from collections.abc import Callable
from typing import Any

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from bertune.system.instructions import integer_instructions


def quantize(
    *,
    source: str,
    target: str,
    quantized: str,
    on_rows: Callable[[int], None],  # noqa: ARG001 (none are counted)
) -> dict[str, Any]:
    """Writes a file whose dense layers multiply 8-bit integers: weights by output, inputs as they come.

    Args:
        source: the file, float32.
        target: the file that is written.
        quantized: how the names of the weights begin whose products are.
        on_rows: not called.

    Returns:
        Instructions of this processor for such products, and whether weights are held to 7 bits because it has none.
    """
    model = onnx.load(source)
    kept = [
        node.name for node in model.graph.node if node.op_type == "MatMul" and not node.input[1].startswith(quantized)
    ]
    instructions = integer_instructions()
    reduced = instructions is None
    quantize_dynamic(
        model,
        target,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=reduced,
        nodes_to_exclude=kept,
        extra_options={"MatMulConstBOnly": True},
    )
    return {"reduced_range": reduced, "instructions": instructions or "none"}
