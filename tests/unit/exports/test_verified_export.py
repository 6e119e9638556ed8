"""An export is proved again by what is in its folder, and whatever is wrong with that is found."""

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bertune
from bertune import export, load, predict, verify
from bertune.errors import BertuneError, CheckpointError, ConfigError, DataError
from bertune.runtime import int8_agreement, verification
from bertune.runtime.exported_model import ExportedModel
from bertune.runtime.stored_rows import StoredRows

TEXTS = [("one text", "and another"), ("a", "b"), ("some more words", "c")]
LONG = "one text of many words and then some more " * 12
PAIRS = [(f"one text number {number}", f"and another {number % 7}") for number in range(60)]


def forge(folder: Path) -> None:
    """Writes the digests of the files as they are, as somebody does who changes an export on purpose."""
    values = json.loads((folder / "agreement.json").read_text())
    values["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in values["files"]}
    (folder / "agreement.json").write_text(json.dumps(values))


def change_arrays(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    with np.load(folder / "proof_rows.npz") as stored:
        arrays = dict(stored)
    change(arrays)
    np.savez(folder / "proof_rows.npz", **arrays)
    forge(folder)


@pytest.mark.parametrize("format", [pytest.param("transformers", marks=pytest.mark.slow), "tf_checkpoint", "onnx"])
def test_what_was_proved_is_proved_again_and_two_exports_differ_in_their_speed_alone(
    format: Any, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = load(make_model(temperature=0.5, long_text="windows", labels=("a", "b", "c")))
    rows = [*TEXTS, (LONG, "and another")]
    one, two = tmp_path / "one", tmp_path / "two"
    agreement = export(model, one, format=format, proof_rows=rows)
    export(model, two, format=format, proof_rows=rows)
    names = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    assert names == {path.relative_to(two) for path in two.rglob("*") if path.is_file()}
    different = {str(name) for name in names if (one / name).read_bytes() != (two / name).read_bytes()}
    assert different <= {"proof.json"}
    found = verify(one)
    assert (found.format, found.is_int8, found.equal_labels, found.warnings) == (format, False, 1.0, ())
    assert found.max_difference <= agreement.tolerance
    assert agreement.text_rows + 7 < found.rows <= 256
    assert found.instructions == found.exported_on == agreement.instructions
    proof = json.loads((one / "proof.json").read_text())
    assert proof["export"]["bytes"] == found.speed.bytes
    assert proof["instructions"] == list(found.instructions)
    for speed in (proof["export"], proof["model"], found.to_dict()["speed"]):
        assert speed["latency_ms"] > 0
        assert speed["rows_per_second"] > 0
        assert speed["threads"] >= 1
        assert speed["bytes"] > 100_000


def test_an_onnx_export_is_proved_in_seconds_without_torch(onnx_export: Path) -> None:
    code = (
        "import sys, time; started = time.monotonic(); import bertune; found = bertune.verify(sys.argv[1]);"
        "print(time.monotonic() - started, found.rows, sorted({'torch', 'transformers', 'safetensors', 'onnx'} & "
        "set(sys.modules)))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code, str(onnx_export)], text=True).split(maxsplit=2)
    assert float(printed[0]) < 10
    assert int(printed[1]) > 100
    assert printed[2].strip() == "[]"
    inside = "import sys, bertune.runtime.onnx_answers; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", inside], text=True) == "False\n"


def test_a_changed_byte_a_link_and_a_file_more_or_less_are_found(copied: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in copied.iterdir() if path.name not in ("agreement.json", "proof.json"))
    assert "proof_rows.npz" in names
    for name in names:
        path = copied / name
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(CheckpointError, match=f"{name}: has changed since the export was proved"):
            verify(copied)
        path.unlink()
        with pytest.raises(CheckpointError, match=f"{name}: "):
            verify(copied)
        (tmp_path / "elsewhere").write_bytes(before)
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(CheckpointError, match=f"{name}: a link"):
            verify(copied)
        path.unlink()
        path.write_bytes(before)
    (copied / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"notes\.txt: was not there when the export was proved"):
        verify(copied)


def test_the_speed_of_another_machine_is_not_part_of_the_proof(copied: Path, make_model: Callable[..., Path]) -> None:
    (copied / "proof.json").unlink()
    assert ExportedModel.load(copied).signature.labels == ("different", "same")
    (copied / "proof.json").write_text("{}")
    assert ExportedModel.load(copied).signature.labels == ("different", "same")
    # And an export is replaced with it.
    export(make_model(), copied, format="onnx", proof_rows=TEXTS)
    assert json.loads((copied / "proof.json").read_text())["format"] == "onnx"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "agreement.json").unlink(), "no export of bertune"),
        (lambda folder: (folder / "agreement.json").write_text("{"), "not a JSON file"),
        (lambda folder: (folder / "agreement.json").write_text("{}"), "not an agreement of this version"),
    ],
)
def test_a_folder_without_its_agreement_is_no_export(change: Callable[[Path], Any], words: str, copied: Path) -> None:
    change(copied)
    with pytest.raises(BertuneError, match=words) as error:
        verify(copied)
    assert error.value.exit_code == 3


def test_an_export_of_an_earlier_bertune_has_to_be_made_again(copied: Path) -> None:
    (copied / "proof_rows.npz").unlink()
    values = json.loads((copied / "agreement.json").read_text())
    del values["files"]["proof_rows.npz"]
    (copied / "agreement.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="an earlier bertune, which keeps no rows") as error:
        verify(copied)
    assert str(error.value.hint).startswith("export the model again")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda arrays: arrays["expected"].__setitem__((3, 0), np.nan), "logits are not finite numbers"),
        (lambda arrays: arrays.pop("expected"), "expected"),
        (lambda arrays: arrays.__setitem__("expected", arrays["expected"][:-1]), "not equally many"),
        (lambda arrays: arrays.__setitem__("rule", np.array([0.0, 1.0])), "there is no tolerance"),
        (lambda arrays: arrays.__setitem__("rule", np.array([np.nan, 1.0])), "there is no tolerance"),
        (lambda arrays: arrays.__setitem__("kind", np.array("poetry")), "poetry"),
        (lambda arrays: arrays.__setitem__("offsets", arrays["offsets"] + 1), "offsets do not divide"),
        (lambda arrays: arrays.__setitem__("token_ids", arrays["token_ids"] * 0.5), "no whole numbers"),
        (lambda arrays: arrays.__setitem__("kind", np.array({"an": "object"})), "allow_pickle"),
    ],
)
def test_stored_rows_that_make_no_sense_are_refused_though_their_digest_is_right(
    change: Callable[[dict[str, Any]], Any], words: str, copied: Path
) -> None:
    change_arrays(copied, change)
    with pytest.raises(CheckpointError, match=words) as error:
        verify(copied)
    assert "proof_rows.npz: cannot be read" in error.value.message


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_the_stored_rows_is_anything_but_one_clear_error(data: st.DataObject, onnx_export: Path) -> None:
    content = (onnx_export / "proof_rows.npz").read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content if data.draw(st.booleans()) else content[:cut])
    for place in data.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=4)):
        if damaged:
            damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    folder = onnx_export.parent / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / "proof_rows.npz").write_bytes(damaged)
    with contextlib.suppress(CheckpointError):
        StoredRows.read(folder)
        # A bit in the times of the archive says nothing.
        assert len(damaged) == len(content)


def test_answers_of_another_model_are_found(copied: Path) -> None:
    def change(arrays: dict[str, Any]) -> None:
        arrays["expected"][0, 1] += 0.25

    change_arrays(copied, change)
    with pytest.raises(
        BertuneError, match=r"copied: the export does not equal the model: logits differ by .*; row 0"
    ) as error:
        verify(copied)
    assert error.value.exit_code == 1
    assert str(error.value.hint).startswith("do not use it here; export the model again on this machine")


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname"])
@pytest.mark.parametrize("place", ["initializer", "attribute", "branch"])
def test_weights_in_other_files_are_refused_though_every_digest_is_right(
    location: str, place: str, copied: Path, tmp_path: Path
) -> None:
    model = onnx.load(copied / "model.onnx")
    tensor = model.graph.initializer[0]
    if place != "initializer":
        node = model.graph.node.add(op_type="Constant", output=["unused"])
        attribute = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
        if place == "branch":
            attribute.type = onnx.AttributeProto.GRAPH
            tensor = attribute.g.initializer.add()
        else:
            tensor = attribute.t
        tensor.CopyFrom(model.graph.initializer[0])
        tensor.name = "elsewhere"
    onnx.external_data_helper.set_external_data(tensor, location=location)
    tensor.ClearField("raw_data")
    (copied / "model.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "weights.bin").write_bytes(bytes(1 << 20))
    with pytest.raises(CheckpointError, match="has changed"):
        verify(copied)
    forge(copied)
    with pytest.raises(CheckpointError, match=rf"keeps weights in another file \(location: {location}\)"):
        verify(copied)
    with pytest.raises(CheckpointError, match="keeps weights in another file"):
        ExportedModel.load(copied)


def test_a_file_that_is_no_onnx_is_refused_by_the_process_that_loads_it(copied: Path) -> None:
    (copied / "model.onnx").write_bytes(b"\x00\x01\x02 something else")
    forge(copied)
    with pytest.raises(CheckpointError, match=r"model\.onnx: not an ONNX file"):
        verify(copied)


def test_int8_is_proved_again_by_the_validation_rows(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random weights have no margins; how much trained ones lose is measured in tests of the command line.
    monkeypatch.setattr(int8_agreement, "LEAST_EQUAL", 0.8)
    monkeypatch.setattr(int8_agreement, "MOST_LOST", 0.2)
    folder, out = make_model(temperature=0.5, hidden_size=64, long_text="windows"), tmp_path / "out"
    pairs = [*PAIRS, (LONG, "and another")]
    labels = [one.label for one in predict(load(folder), pairs)]
    agreement = export(folder, out, format="onnx", int8=(pairs, labels))
    assert agreement.int8 is not None
    again = export(folder, tmp_path / "again", format="onnx", int8=(pairs, labels))
    assert again.to_dict() == agreement.to_dict()
    found = verify(out)
    # Each example once, however many windows it has; another batch moves the last bits.
    assert (found.is_int8, found.rows) == (True, 61)
    assert found.equal_labels == pytest.approx(agreement.int8.equal, abs=0.05)
    assert found.max_difference == pytest.approx(agreement.int8.max_difference, rel=0.5)
    assert "in int8, 61 stored rows" in found.summary()
    with monkeypatch.context() as patched:
        patched.setattr(int8_agreement, "LEAST_EQUAL", 1.01)
        with pytest.raises(BertuneError, match=r"out: only \d+ of 61 rows .* get the label of fp32"):
            verify(out)
    values = json.loads((out / "agreement.json").read_text())
    del values["int8"]
    (out / "agreement.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="not of one export"):
        verify(out)


@pytest.mark.parametrize(
    ("made", "reduced", "here", "words"),
    [
        (
            "avx512_vnni",
            False,
            None,
            "which this one does not have: sums of products with its 8-bit weights can saturate",
        ),
        ("avx512_vnni", False, "avx_vnni", None),
        ("none", True, None, None),
        ("none", True, "avx512_vnni", "this one has them (avx512_vnni): exported here, the weights would have 8"),
    ],
)
def test_other_products_of_integers_are_told(
    made: str, reduced: bool, here: str | None, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "integer_instructions", lambda: here)
    found = verification._about_integers({"instructions": made, "reduced_range": reduced})
    assert (words is None) == (found == ())
    assert words is None or words in found[0]


def test_a_folder_of_another_format_is_not_taken_for_onnx(copied: Path, tmp_path: Path) -> None:
    values = json.loads((copied / "agreement.json").read_text())
    (copied / "agreement.json").write_text(json.dumps(values | {"format": "tf_checkpoint"}))
    with pytest.raises(ConfigError, match="an export to tf_checkpoint"):
        verification.verify(copied)
    with pytest.raises(DataError, match="no export of bertune"):
        bertune.verify(tmp_path)
