"""An ONNX graph under construction: operators of the standard alone, so that every runtime reads it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# The first with LayerNormalization, so the oldest runtime that reads the file is onnxruntime 1.12.
OPSET: Final = 17
_IR_VERSION: Final = 8


class OnnxGraph:
    """Collects nodes and constants; values are known by their names.

    Args:
        name: of the graph.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str) -> str:
        """Declares an input of token ids or of a mask, (batch, sequence) int64."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]))
        return name

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Returns the name of a constant, which is stored once however often it is asked for.

        Args:
            name: of what it holds; the same name always has the same array.
            array: its values.
        """
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def integers(self, *values: int) -> str:
        """Returns a vector of int64, for instance a shape."""
        return self.constant("integers_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        """Returns a scalar of float32."""
        return self.constant(f"number_{value!r}", np.array(value, dtype=np.float32))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operator with one output, whose name it returns."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Adds an operator with several outputs, whose names it returns."""
        self._count += 1
        name = f"{kind}_{self._count}"
        results = [name if outputs == 1 else f"{name}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, results, name=name, **attributes))
        return results

    def first(self, values: str, count: str, *, axis: int) -> str:
        """Returns the first entries along an axis; `count` is a vector of one int64."""
        return self.op("Slice", values, self.integers(0), count, self.integers(axis))

    def model(self, output: str, width: int, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Completes the graph.

        Args:
            output: the value that becomes `logits`, (batch, width) float32.
            width: of it.
            metadata: put into the file.

        Returns:
            The model; the same calls give the same bytes.
        """
        self._nodes.append(helper.make_node("Identity", [output], ["logits"], name="logits"))
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", width])]
        used: Sequence[TensorProto] = list(self._constants.values())
        graph = helper.make_graph(self._nodes, self._name, self._inputs, outputs, used)
        made = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION, producer_name="bertune"
        )
        helper.set_model_props(made, dict(metadata))
        return made
