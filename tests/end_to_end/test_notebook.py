"""The notebook is its source, shows what it should, and runs."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "fine_tuning_bert.ipynb"
GLUE = Path(os.environ.get("BERTUNE_GLUE_DIR") or ROOT.parent / "shared" / "data" / "glue")
UNRUN = "import nbformat, make_notebook; print(nbformat.writes(make_notebook.unrun_notebook()))"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Settings of Jupyter and temporary files go to the folder; data are the questions, one epoch."""
    own = {"TMPDIR": str(folder), "HF_HUB_OFFLINE": "1", "BERTUNE_NOTEBOOK_EPOCHS": "1", "BERTUNE_GLUE_DIR": ""}
    jupyter = {name: str(folder / name) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    return os.environ | own | jupyter | more


def run_python(*arguments: str, cwd: Path = EXAMPLES, env: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def outputs_of(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", ())]


def without_outputs(notebook: dict[str, Any]) -> dict[str, Any]:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return notebook


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return content


def test_the_notebook_is_its_source_cell_by_cell(tmp_path: Path, notebook: dict[str, Any]) -> None:
    expected = json.loads(run_python("-c", UNRUN, env=environment(tmp_path)))
    assert without_outputs(notebook | {"cells": [dict(cell) for cell in notebook["cells"]]}) == expected, (
        "examples/fine_tuning_bert.ipynb is not made of today's fine_tuning_bert.py: run `make notebook`"
    )


def test_every_cell_was_run_once_in_order_and_every_picture_is_shown(notebook: dict[str, Any]) -> None:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        drawn = len(re.findall(r"bertune\.plot_\w+\(", "".join(cell["source"])))
        shown = [output["data"]["image/png"] for output in cell["outputs"] if "image/png" in output.get("data", {})]
        assert len(shown) == drawn
        assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in shown)


def test_the_outputs_are_small_and_tell_nothing_of_the_machine_that_made_them(notebook: dict[str, Any]) -> None:
    assert NOTEBOOK.stat().st_size < 600_000
    assert {output["output_type"] for output in outputs_of(notebook)} == {"stream", "execute_result"}
    assert all(output.get("name", "stdout") == "stdout" for output in outputs_of(notebook))
    assert set(notebook["metadata"]) == {"jupytext", "kernelspec", "language_info"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    assert all(set(cell["metadata"]) <= {"lines_to_next_cell"} for cell in notebook["cells"])
    texts = [output.get("text") or output["data"]["text/plain"] for output in outputs_of(notebook)]
    shown = json.dumps(["".join(text) for text in texts], ensure_ascii=False)
    assert re.findall(r"(?:^|[\s'\"(=])(?:/|[A-Z]:\\)\w[^\s'\"]*", shown) == []
    assert re.findall(r"0x[0-9a-f]{6,}|\d\d:\d\d|20\d\d-\d\d", shown) == []


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    out = tmp_path / "run.ipynb"
    run_python("make_notebook.py", str(out), env=environment(tmp_path))
    shown = json.dumps(outputs_of(json.loads(out.read_text(encoding="utf-8"))))
    assert "epoch 1: training loss" in shown
    assert "epoch 2" not in shown
    assert "validation accuracy" in shown


@pytest.mark.slow
def test_the_source_runs_as_a_plain_script_without_a_warning(tmp_path: Path) -> None:
    script = EXAMPLES / "fine_tuning_bert.py"
    shown = run_python("-W", "error", str(script), cwd=tmp_path, env=environment(tmp_path))
    assert "epoch 1: training loss" in shown
    made = {path.name for path in (tmp_path / "runs" / "questions_notebook").iterdir()}
    assert made >= {"model", "checkpoint", "records", "hub"}


@pytest.mark.slow
def test_the_source_runs_on_mrpc(tmp_path: Path) -> None:
    if not (GLUE / "MRPC").is_dir():
        pytest.skip("no MRPC files (BERTUNE_GLUE_DIR names the folder that holds MRPC/)")
    script = EXAMPLES / "fine_tuning_bert.py"
    shown = run_python(str(script), cwd=tmp_path, env=environment(tmp_path, BERTUNE_GLUE_DIR=str(GLUE)))
    assert "230 steps, 230 an epoch" in shown  # 3,668 pairs, 16 a step
    assert "equivalent" in shown
