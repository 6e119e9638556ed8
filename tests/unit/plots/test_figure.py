"""Files, bytes, and what a session keeps as it was."""

import errno
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest
import torch
from matplotlib.figure import Figure
from tests.unit.plots.svg import texts

import bertune
from bertune.errors import ConfigError, ResourceError

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guides" / "pictures"
Draw = Callable[[Path | str | None], Figure]

SETUP = """
import torch, bertune
encoder = bertune.Encoder(vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2)
arrays = {name: torch.tensor([[1, 1, 1], [1, 1, 0]]) for name in ("input_word_ids", "input_mask", "input_type_ids")}
schedule = bertune.WarmUp(1e-4, bertune.PolynomialDecay(1e-4, 50), 5)
"""


@pytest.fixture(params=["model", "inputs", "schedule"])
def draw(request: pytest.FixtureRequest) -> Draw:
    names: dict[str, object] = {}
    exec(SETUP, names)
    return {
        "model": lambda path: bertune.plot_model(names["encoder"], path),  # type: ignore[arg-type]
        "inputs": lambda path: bertune.plot_inputs(names["arrays"], path),  # type: ignore[arg-type]
        "schedule": lambda path: bertune.plot_schedule(names["schedule"], 50, path),  # type: ignore[arg-type]
    }[request.param]


@pytest.mark.parametrize(
    ("name", "start"), [("a.svg", b"<?xml"), ("a.png", b"\x89PNG\r\n\x1a\n"), ("A.PNG", b"\x89PNG")]
)
def test_the_suffix_chooses_the_format(draw: Draw, tmp_path: Path, name: str, start: bytes) -> None:
    draw(tmp_path / "new folder" / name)
    assert (tmp_path / "new folder" / name).read_bytes().startswith(start)
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == [name]


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_picture_gives_the_same_bytes(draw: Draw, tmp_path: Path, suffix: str) -> None:
    for number in (1, 2):
        draw(str(tmp_path / f"{number}.{suffix}"))
    content = (tmp_path / f"1.{suffix}").read_bytes()
    assert (tmp_path / f"2.{suffix}").read_bytes() == content
    assert b"Matplotlib" not in content
    assert b"dc:date" not in content


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    code = (
        f"{SETUP}import sys\nbertune.plot_model(encoder, sys.argv[1])\nbertune.plot_schedule(schedule, 50, sys.argv[2])"
    )
    pictures = []
    for seed in ("1", "2"):
        paths = [tmp_path / f"{name}-{seed}.svg" for name in ("model", "schedule")]
        environment = os.environ | {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": seed}
        subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True, env=environment)
        pictures.append([path.read_bytes() for path in paths])
    assert pictures[0] == pictures[1]


def test_settings_of_the_session_change_nothing_and_stay(draw: Draw, tmp_path: Path) -> None:
    draw(tmp_path / "plain.svg")
    mine = {"font.size": 30, "axes.facecolor": "black", "svg.fonttype": "path", "text.color": "red"}
    with matplotlib.rc_context(mine):
        before = dict(matplotlib.rcParams)
        draw(tmp_path / "styled.svg")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "styled.svg").read_bytes() == (tmp_path / "plain.svg").read_bytes()


def test_pyplot_is_never_imported_and_nothing_warns(tmp_path: Path) -> None:
    code = f"""{SETUP}
import sys
assert "matplotlib" not in sys.modules
for suffix in ("svg", "png"):
    bertune.plot_model(encoder, "m." + suffix)
    bertune.plot_inputs(arrays, "i." + suffix)
    bertune.plot_schedule(schedule, 50, "s." + suffix)._repr_png_()
assert "matplotlib.pyplot" not in sys.modules
"""
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    # Standard error may hold a word of matplotlib's about its font cache, on its first run on a machine.
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_notebook_is_given_a_png(draw: Draw) -> None:
    picture = draw(None)
    assert picture._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["model.pdf", "model", "model.svg.gz", ".svg"])
def test_another_suffix_is_refused_before_anything_is_drawn(draw: Draw, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"\.svg or \.png") as caught:
        draw(tmp_path / name)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(draw: Draw, tmp_path: Path) -> None:
    (tmp_path / "taken.svg").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "taken.svg", tmp_path / "file" / "a.svg"):
        with pytest.raises(ConfigError) as caught:
            draw(path)
        assert caught.value.message.startswith(f"{path}: cannot be written (")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.svg"]


def test_a_full_disk_leaves_the_old_picture(draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.svg"
    path.write_text("old")

    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(ResourceError, match=r"a\.svg: cannot be written"):
        draw(path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.svg"]


def test_the_pictures_of_the_guide_are_those_its_script_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pictures.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / "pictures.py"), run_name="__main__")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["inputs.svg", "model.svg", "schedules.svg"]
    for name in names:
        assert (GUIDE / name).stat().st_size < 100_000
        assert f"(pictures/{name})" in GUIDE.with_suffix(".md").read_text()
        assert texts(GUIDE / name) == texts(tmp_path / name)


def test_drawing_draws_no_random_numbers(draw: Draw) -> None:
    before = torch.random.get_rng_state()
    draw(None)
    assert torch.equal(torch.random.get_rng_state(), before)
