"""Quantizes an ONNX file, in a process that imports no torch."""

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

# With one of these, products of 8-bit numbers are added up in 32 bits; without, pairs of them saturate at 16.
_EXACT_PRODUCTS: Final = ("avx512_vnni", "avx_vnni", "amx_int8")


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


def integer_instructions() -> str | None:
    """Returns what this processor multiplies 8-bit integers exactly with; None for an x86 without."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return next((name for name in _EXACT_PRODUCTS if name in flags), None)
