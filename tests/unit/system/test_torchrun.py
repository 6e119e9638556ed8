"""What `torchrun` tells, and what a process does with it."""

import time
from pathlib import Path

import pytest

from bertune.cli.app import main
from bertune.system.torchrun import Launch

SECOND = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "1",
    "TORCHELASTIC_RESTART_COUNT": "3",
    "TORCHELASTIC_RUN_ID": "reviews",
    "MASTER_ADDR": "host",
    "MASTER_PORT": "29500",
}


def test_only_variables_of_torchrun_make_a_launch() -> None:
    launch = Launch.of(SECOND)
    assert launch == Launch(rank=1, size=2, local_rank=0, local_size=1, restarts=3, run_id="reviews")
    assert (launch.is_first, launch.is_several) == (False, True)
    # Without a rendezvous all launches have one name.
    unnamed = Launch.of(SECOND | {"TORCHELASTIC_RUN_ID": "none"})
    assert unnamed is not None
    assert unnamed.run_id == "host:29500"
    assert Launch.of({name: value for name, value in SECOND.items() if name != "TORCHELASTIC_RUN_ID"}) is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["evaluate", "runs/q", "--data", "test.csv"], "torchrun is for bertune train; evaluate runs in one process"),
        (
            ["train", "--data", "a.csv", "--text-a", "a", "--label", "b", "--out", "OUT", "--seeds", "2"],
            "torchrun trains one run in several processes; --seeds trains several, each in a process of its own",
        ),
        (["train", "--resume", "OUT", "--process-timeout", "0.5"], "--process-timeout must be at least 1 s, not 0.5"),
    ],
)
def test_what_cannot_be_is_told_by_the_first_process_alone(
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    arguments = [str(tmp_path / "run") if word == "OUT" else word for word in arguments]

    def ended(_: float) -> None:
        raise SystemExit(143)

    monkeypatch.setattr(time, "sleep", ended)  # as by `torchrun`, when the first process has ended
    for name, value in SECOND.items():
        monkeypatch.setenv(name, value)
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", "")
    # Where the first has nothing to tell, whoever has does.
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert main(arguments) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"error: {sentence}"
    monkeypatch.setenv("RANK", "0")
    assert main(arguments) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"error: {sentence}"
