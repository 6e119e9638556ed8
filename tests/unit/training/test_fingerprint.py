"""What may differ when a run is resumed, and between the processes that train it."""

from dataclasses import replace

import pytest

from bertune.errors import ConfigError
from bertune.training.fingerprint import Arithmetic, Fingerprint, check_same, check_same_in_all

ARITHMETIC = Arithmetic("0.1", "2.13", "2.3", 2, "cpu", "fp32", "compiled kernels", "a", "b")
PRINT = Fingerprint({"epochs": 3}, "rows", "tokenizer", "", ARITHMETIC)


def with_(**changes: str | int) -> Fingerprint:
    return replace(PRINT, arithmetic=replace(ARITHMETIC, **changes))


def test_another_number_of_processes_is_a_warning_and_threads_may_change_with_it() -> None:
    assert check_same(PRINT, PRINT, "runs/q") is None
    assert check_same(with_(processes=2), PRINT, "runs/q") == (
        "warning: runs/q was trained by 2 processes and goes on with 1: nothing is lost, but the last bits differ "
        "from those of a run that did not change"
    )
    warning = check_same(PRINT, with_(processes=3, threads=1), "runs/q")
    assert warning is not None
    assert "by 1 process and goes on with 3" in warning
    with pytest.raises(ConfigError, match="trained by 2 threads, and here there are 1"):
        check_same(PRINT, with_(threads=1), "runs/q")
    with pytest.raises(ConfigError, match=r"torch was 2\.13 and is 2\.12"):
        check_same(PRINT, with_(processes=2, torch="2.12"), "runs/q")


def test_processes_that_would_not_train_the_same_run_are_refused() -> None:
    check_same_in_all([PRINT, with_(threads=8)])
    with pytest.raises(ConfigError, match=r"process 1 \(from 0\) .*: numpy was 2\.3 and is 2\.2"):
        check_same_in_all([PRINT, with_(numpy="2.2")])
    with pytest.raises(ConfigError, match=r"process 2 \(from 0\) .*: the rows of its data"):
        check_same_in_all([PRINT, PRINT, replace(PRINT, data="others")])
