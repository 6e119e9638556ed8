"""The public surface is whole: whoever uses it needs no module below `bertune`."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.api.public_types import annotations, types_in

import bertune
from bertune import errors

ROOT = Path(__file__).parents[3]
# What bertune alone fills in: annotations of public names whose types nobody needs.
INTERNAL = {
    "AdamWeightDecay.coefficients return": "for the compiled step",
    "ScheduledAdam.coefficients return": "for the compiled step",
    "Dynamics.load state": "for checkpoints",
    "Dynamics.state return": "for checkpoints",
    "Layout.attention_plan return": "for the encoder",
    "Layout.window_plan return": "for the encoder",
    "Encoder.family return": "for files and kernels",
    "Encoder.input_embeddings return": "a module of torch",
    **{
        f"{name}.saved return": "for the files of a run"
        for name in ("Calibration", "Quality", "Receipt", "Reliability", "Scores", "Summary", "Thresholds")
    },
    "RowSource.of split": "`find_splits` makes splits",
    "Split.__init__ hub": "`find_splits` makes splits",
    "Split.__init__ mrpc": "`find_splits` makes splits",
    "Split.__init__ tfds": "`find_splits` makes splits",
    "Split.hub": "`find_splits` makes splits",
    "Split.mrpc": "`find_splits` makes splits",
    "Split.tfds": "`find_splits` makes splits",
    "read_split kept": "for `bertune predict --keep`",
}
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_type_that_a_public_name_takes_or_returns_is_public() -> None:
    missing = {
        f"{kind.__module__}.{kind.__name__}": where
        for where, hint in annotations()
        if where not in INTERNAL
        for kind in types_in(hint)
        if getattr(bertune, kind.__name__, None) is not kind
    }
    assert missing == {}


def test_the_walk_sees_what_it_should() -> None:
    found = {(where, kind.__name__) for where, hint in annotations() for kind in types_in(hint)}
    for expected in (
        ("train return", "Run"),
        ("fit callbacks", "Callback"),
        ("Callback.on_epoch result", "EpochResult"),
        ("Model.predict return", "Predictions"),
        ("Predictions.__iter__ return", "Prediction"),
        ("Scores.metrics", "MetricScore"),
        ("Run.seeds", "Summary"),
        ("Run.model return", "Model"),
        ("History.steps", "StepResult"),
    ):
        assert expected in found
    assert {where for where, _ in annotations()} >= INTERNAL.keys() - {"RowSource.of split"}


def test_every_error_is_public() -> None:
    assert bertune.errors is errors
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, BaseException):
            assert getattr(bertune, name) is kind


def test_errors_are_found_without_importing_them_first() -> None:
    program = "import bertune, sys; bertune.errors.DataError; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_type_checkers_see_the_names_that_there_are() -> None:
    tree = ast.parse((ROOT / "src" / "bertune" / "__init__.py").read_text(encoding="utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    for node in checked.body:
        assert isinstance(node, ast.ImportFrom)
        (alias,) = node.names
        if alias.name != "errors":
            assert f"bertune.{bertune._HOMES[alias.name]}" == node.module, alias.name
    names = {node.names[0].name for node in checked.body if isinstance(node, ast.ImportFrom)}
    assert names == set(bertune.__all__) - {"__version__"}


def python_of(page: Path) -> str:
    blocks = re.findall(
        r"^( *)```python\n(.*?)^\1```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    return "".join(block for _, block in blocks)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guides_import_nothing_but_bertune(page: Path) -> None:
    assert re.findall(r"^\s*(?:from|import) bertune\.[\w.]+.*$", python_of(page), flags=re.MULTILINE) == []
    for taken in re.findall(r"^\s*from bertune import (.+)$", python_of(page), flags=re.MULTILINE):
        assert set(re.findall(r"\w+", taken)) <= set(bertune.__all__)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guides_use_names_that_there_are(page: Path) -> None:
    used = set(re.findall(r"\bbertune\.([A-Za-z_]\w*)", python_of(page)))
    assert used <= set(bertune.__all__)


def test_the_example_notebook_imports_nothing_but_bertune() -> None:
    source = (ROOT / "examples" / "fine_tuning_bert.py").read_text(encoding="utf-8")
    modules = [
        name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    ]
    assert "bertune" in modules
    assert [name for name in modules if name is not None and name.startswith("bertune.")] == []
