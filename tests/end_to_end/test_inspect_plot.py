"""`bertune inspect --plot`."""

import json
from pathlib import Path

from tests.end_to_end.world import Run


def test_inspect_draws_the_encoder_it_looks_into(run: Run, model: Path, tmp_path: Path) -> None:
    picture = tmp_path / "new" / "model.svg"
    done = run("inspect", str(model), "--plot", str(picture), "--json")
    assert done.returncode == 0, done.stderr
    assert f"picture: {picture}" in done.stderr
    config = json.loads(done.stdout)["config"]
    assert f"{config['vocab_size']} × {config['hidden_size']}" in picture.read_text(encoding="utf-8")  # noqa: RUF001


def test_a_picture_of_another_format_is_refused_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    done = run("inspect", "no-such/model", "--plot", str(tmp_path / "model.pdf"))
    assert done.returncode == 2
    assert ".svg or .png" in done.stderr
    assert "no-such" not in done.stderr


def test_data_have_no_model_to_draw(run: Run, tables: Path, tmp_path: Path) -> None:
    done = run("inspect", str(tables / "train.csv"), "--plot", str(tmp_path / "model.svg"))
    assert done.returncode == 2
    assert "train.csv" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("inspect", str(model), "--plot", str(tmp_path / "file" / "model.png"))
    assert done.returncode == 2
    assert f"error: {tmp_path / 'file' / 'model.png'}: cannot be written" in done.stderr
