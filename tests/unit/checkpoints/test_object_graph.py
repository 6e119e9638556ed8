"""Encoders are found in object graphs by what they are, not by what they are called."""

import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bertune.checkpoints import object_graph
from bertune.checkpoints.bundle_writer import message, write_bundle
from bertune.checkpoints.object_graph import ObjectGraph, find_encoders
from bertune.checkpoints.tensor_bundle import TensorBundle
from bertune.checkpoints.tensorflow_names import encoder_names, find_prefix, tensorflow_names
from bertune.errors import CheckpointError
from bertune.models.bert import BERT, BertConfig
from bertune.models.encoder import Encoder
from bertune.system.protobuf_wire import WireError

Tree = dict[str, "Tree | str"]


def serialized(tree: Tree) -> bytes:
    """Serializes a tree of objects; a text is a variable with that key, a text with `-> ROAD` an edge to an object."""
    numbers: dict[str, int] = {}

    def visit(road: str, part: Tree | str) -> Iterator[tuple[str, Tree | str]]:
        yield road, part
        if isinstance(part, dict):
            for name, child in part.items():
                if not (isinstance(child, str) and child.startswith("-> ")):
                    yield from visit(f"{road}/{name}".lstrip("/"), child)

    objects = list(visit("", tree))
    numbers = {road: number for number, (road, _) in enumerate(objects)}
    nodes = b""
    for road, part in objects:
        if isinstance(part, str):
            nodes += message((1, message((2, message((1, b"VARIABLE_VALUE"), (3, part.encode()))))))
            continue
        edges = b""
        for name, child in part.items():
            target = f"{road}/{name}".lstrip("/")
            if isinstance(child, str) and child.startswith("-> "):
                target = child.removeprefix("-> ")
            edges += message((1, message((1, numbers[target]), (2, name.encode()))))
        nodes += message((1, edges))
    return nodes


def dense(name: str) -> Tree:
    return {"kernel": f"{name}/kernel", "bias": f"{name}/bias"}


def norm(name: str) -> Tree:
    return {"gamma": f"{name}/gamma", "beta": f"{name}/beta"}


def layer(name: str) -> Tree:
    parts = ("query", "key", "value", "output")
    return {
        "_attention_layer": {f"_{part}_dense": dense(f"{name}/{part}") for part in parts},
        "_attention_layer_norm": norm(f"{name}/n1"),
        "_intermediate_dense": dense(f"{name}/wide"),
        "_output_dense": dense(f"{name}/narrow"),
        "_output_layer_norm": norm(f"{name}/n2"),
    }


def functional(name: str = "e", layers: int = 2) -> Tree:
    tables = [{"embeddings": f"{name}/{table}"} for table in ("word", "position", "type")]
    parts = [*tables, norm(f"{name}/n"), *(layer(f"{name}/{n}") for n in range(layers)), dense(f"{name}/pooler")]
    return {f"layer_with_weights-{number}": part for number, part in enumerate(parts)}


def test_every_parameter_has_a_name_of_google_research() -> None:
    encoder = Encoder.from_config(BertConfig(vocab_size=9, hidden_size=4, num_attention_heads=2, num_hidden_layers=1))
    names = [name for parameter, _ in encoder.named_parameters() for name in tensorflow_names(parameter)]
    assert len(set(names)) == len(names) == 23
    assert all(re.fullmatch(r"(embeddings|encoder/layer_0|pooler)/[A-Za-z_/]+", name) for name in names)
    assert tensorflow_names("layers.0.attention.qkv.weight") == tuple(
        f"encoder/layer_0/attention/self/{part}/kernel" for part in ("query", "key", "value")
    )
    assert BERT.names.stored_names("embeddings.norm.bias") == ("embeddings.LayerNorm.bias",)
    assert tensorflow_names("embeddings.norm.bias") == ("embeddings/LayerNorm/beta",)


@pytest.mark.parametrize("road", [("model",), ("encoder",), ("my model", "inner", "layer_with_weights-0")])
def test_the_roads_to_an_encoder_do_not_matter(road: tuple[str, ...]) -> None:
    tree = functional(layers=12)
    for name in reversed(road):
        tree = {name: tree}
    (found,) = find_encoders(ObjectGraph(serialized(tree)))
    assert len(found.layers) == 12
    assert len(found.keys) == 5 + 12 * 16 + 2
    assert found.keys["embeddings/word_embeddings"] == "e/word"
    assert found.keys["encoder/layer_11/attention/self/key/kernel"] == "e/11/key/kernel"
    assert found.keys["pooler/dense/bias"] == "e/pooler/bias"


def test_two_names_for_one_encoder_are_one_encoder() -> None:
    assert len(find_encoders(ObjectGraph(serialized({"model": functional(), "encoder": "-> model"})))) == 1


def test_a_list_of_layers_is_described_once_however_many_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 180 kB took minutes: each of its thousand holders described each of a thousand layers."""
    described: list[int] = []
    parts_of_layer = object_graph._parts_of_layer
    monkeypatch.setattr(
        object_graph,
        "_parts_of_layer",
        lambda graph, number: described.append(number) or parts_of_layer(graph, number),
    )
    layers = {str(number): layer(f"e/{number}") for number in range(12)}
    holders: Tree = {f"holder {number}": {"_transformer_layers": "-> layers"} for number in range(50)}
    best: Tree = {
        "_transformer_layers": "-> layers",
        "_pooler_layer": dense("p"),
        "_embedding_layer": {"embeddings": "w"},
    }
    best |= {"_position_embedding_layer": {"embeddings": "x"}, "_type_embedding_layer": {"embeddings": "t"}}
    best |= {"_embedding_norm_layer": norm("n")}
    (found,) = find_encoders(ObjectGraph(serialized({"layers": layers, **holders, "best": best})))
    assert len(described) == len(found.layers) == 12
    assert len(found.keys) == 12 * 16 + 7


def test_more_layers_than_any_bert_has_are_refused() -> None:
    tree: Tree = {"layer": layer("e"), "holder": {"_transformer_layers": {str(n): "-> layer" for n in range(1001)}}}
    with pytest.raises(WireError, match="an object with 1,001 transformer layers"):
        find_encoders(ObjectGraph(serialized(tree)))


def write(folder: Path, tree: Tree, keys: list[str]) -> TensorBundle:
    values = [(key, np.zeros(2, np.float32)) for key in keys]
    write_bundle(folder / "x", [*values, ("_CHECKPOINTABLE_OBJECT_GRAPH", serialized(tree))])
    return TensorBundle(folder / "x")


def keys_of(tree: Tree | str) -> list[str]:
    if isinstance(tree, str):
        return [] if tree.startswith("-> ") else [tree]
    return [key for child in tree.values() for key in keys_of(child)]


def test_what_a_model_has_behind_its_encoder_is_a_head_and_the_rest_is_unknown(tmp_path: Path) -> None:
    model: Tree = {"layer_with_weights-0": functional(), "layer_with_weights-1": dense("last")}
    tree: Tree = {"model": model, "stranger": "s"}
    names = encoder_names(write(tmp_path, tree, keys_of(tree)))
    assert names.unused_reason("last/kernel") == "head of an earlier task or of pre-training"
    assert names.unused_reason("s") is None
    assert names.unused_reason("e/word") is None


def test_the_variables_of_a_newer_optimizer_are_known_by_its_counter(tmp_path: Path) -> None:
    optimizer: Tree = {
        "_iterations": "o/0",
        "_learning_rate": "o/rate",
        "_variables": {"0": "-> opt/_iterations", "1": "o/1"},
    }
    tree: Tree = {"net": functional(), "opt": optimizer}
    names = encoder_names(write(tmp_path, tree, keys_of(tree)))
    assert {names.unused_reason(key) for key in ("o/0", "o/rate", "o/1")} == {"state of the optimizer"}


def test_two_encoders_none_and_albert_are_refused(tmp_path: Path) -> None:
    two: Tree = {"left": functional("a"), "right": functional("b")}
    with pytest.raises(CheckpointError, match="holds 2 encoders, expected one"):
        encoder_names(write(tmp_path, two, keys_of(two)))
    none: Tree = {"model": {"layer_with_weights-0": dense("d")}}
    with pytest.raises(CheckpointError, match="nothing in its object graph is a transformer layer"):
        encoder_names(write(tmp_path, none, keys_of(none)))
    albert = functional()
    albert = {f"layer_with_weights-{number + (number > 3)}": part for number, part in enumerate(albert.values())} | {
        "layer_with_weights-4": dense("projection")
    }
    with pytest.raises(CheckpointError, match="as in ALBERT"):
        encoder_names(write(tmp_path, {"model": albert}, keys_of(albert)))


def test_a_graph_that_names_absent_tensors_is_refused(tmp_path: Path) -> None:
    tree: Tree = {"model": functional()}
    with pytest.raises(CheckpointError, match=r"names tensors that are not there \(e/word\)"):
        encoder_names(write(tmp_path, tree, [key for key in keys_of(tree) if key != "e/word"]))


def test_a_checkpoint_of_another_model_says_what_was_found(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", [("conv/kernel", np.zeros(3, np.float32))])
    with pytest.raises(CheckpointError, match=r"lacks bert/embeddings/word_embeddings \(found conv/kernel\)"):
        encoder_names(TensorBundle(tmp_path / "x"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        message((1, message((1, message((1, 5), (2, b"model")))))),  # an edge to object 5 of 1
        message((1, message((1, b"\xff")))),
        message((1, message((1, message((1, b"text")))))),
        message((1, message((3, message((3, 9)))))),
    ],
)
def test_a_damaged_graph_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        ObjectGraph(data)


def test_a_graph_without_end_is_refused() -> None:
    with pytest.raises(WireError, match="larger than any"):
        ObjectGraph(message((1, b"")) * 60_000)


def test_the_largest_graph_takes_little_memory() -> None:
    edges = b"".join(message((1, message((1, 1), (2, b"edge %025d" % number)))) for number in range(70_000))
    data = message((1, edges)) + message((1, b"")) * 29_000
    tracemalloc.start()
    assert len(ObjectGraph(data).nodes) == 29_001
    assert tracemalloc.get_traced_memory()[1] < 30_000_000
    tracemalloc.stop()


def test_of_several_checkpoints_the_latest_is_taken_or_none(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write_bundle(tmp_path / f"ckpt-{number}", [("w", np.zeros(2, np.float32))])
    with pytest.raises(CheckpointError, match=r"holds 3 checkpoints \(ckpt-1, ckpt-10, ckpt-2\)"):
        find_prefix(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-10"\nall_model_checkpoint_paths: "ckpt-2"\n')
    assert find_prefix(tmp_path) == tmp_path / "ckpt-10"
    assert find_prefix(tmp_path / "ckpt-2") == tmp_path / "ckpt-2"


@pytest.mark.parametrize("suffix", [".index", ".meta", ".data-00000-of-00001", ""])
def test_each_file_of_a_checkpoint_leads_to_it(tmp_path: Path, suffix: str) -> None:
    for written in (".index", ".meta", ".data-00000-of-00001"):
        (tmp_path / f"model.ckpt-343{written}").touch()
    assert find_prefix(tmp_path / f"model.ckpt-343{suffix}") == tmp_path / "model.ckpt-343"


def test_safetensors_come_before_tensorflow_files(tmp_path: Path) -> None:
    write_bundle(tmp_path / "ckpt", [("w", np.zeros(2, np.float32))])
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert find_prefix(tmp_path) is None
