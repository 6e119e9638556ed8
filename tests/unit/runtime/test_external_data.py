"""Files that name other files, and files that are none."""

import contextlib
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertune.errors import CheckpointError
from bertune.runtime.external_data import _INSIDE, refuse_external_data
from bertune.system.protobuf_wire import delimited

MESSAGES: dict[str, Any] = {
    "model": onnx.ModelProto,
    "training": onnx.TrainingInfoProto,
    "function": onnx.FunctionProto,
    "graph": onnx.GraphProto,
    "node": onnx.NodeProto,
    "attribute": onnx.AttributeProto,
    "sparse": onnx.SparseTensorProto,
    "tensor": onnx.TensorProto,
}


def test_every_place_of_the_format_where_a_tensor_can_stand_is_looked_into() -> None:
    kinds = {message.DESCRIPTOR.name: kind for kind, message in MESSAGES.items()}
    for kind, message in MESSAGES.items():
        inside = {
            field.number: kinds[field.message_type.name]
            for field in message.DESCRIPTOR.fields
            if field.message_type is not None and field.message_type.name in kinds
        }
        assert inside == _INSIDE.get(kind, {}), kind


def test_a_location_without_entries_is_refused_too(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    tensor = model.graph.initializer.add()
    tensor.data_location = onnx.TensorProto.EXTERNAL
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="keeps weights in another file, which no export"):
        refuse_external_data(tmp_path / "model.onnx")
    tensor.data_location = onnx.TensorProto.DEFAULT
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    refuse_external_data(tmp_path / "model.onnx")


def test_a_missing_or_empty_file_and_graphs_in_graphs_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not an ONNX file"):
        refuse_external_data(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError, match="not an ONNX file"):
        refuse_external_data(tmp_path / "model.onnx")
    graph = b""
    for _ in range(2000):
        graph = delimited(1, delimited(5, delimited(6, graph)))
    (tmp_path / "model.onnx").write_bytes(delimited(7, graph))
    with pytest.raises(CheckpointError, match="messages inside messages without end"):
        refuse_external_data(tmp_path / "model.onnx")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused_by_one_error(content: bytes, tmp_path: Path) -> None:
    for whole in (content, delimited(7, delimited(5, content)), delimited(7, delimited(5, delimited(13, content)))):
        (tmp_path / "model.onnx").write_bytes(whole)
        with contextlib.suppress(CheckpointError):
            refuse_external_data(tmp_path / "model.onnx")
