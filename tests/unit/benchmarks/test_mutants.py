"""Which tests are run on a module's mutants."""

import pytest
from benchmarks.mutants import DEFAULT, ROOT, TESTS, modules_of, unit_tests_of

ROOMS = ["system/atomic", "system/folder_lock", "optim", "evaluation", "training", "experiments", "fetch/http_client"]


def test_every_module_has_tests_that_are_there() -> None:
    modules = modules_of(ROOMS)
    assert len(modules) > 80
    assert set(DEFAULT) <= set(modules)
    assert set(TESTS) <= set(modules)
    for module in modules:
        found = unit_tests_of(module)
        assert found, module
        assert all((ROOT / name).exists() for name in found), module


def test_a_module_is_tested_by_its_own_tests_or_by_those_that_import_it() -> None:
    assert unit_tests_of("optim/schedule") == ["tests/unit/optim/test_schedule.py"]
    assert "tests/unit/evaluation/test_calibration.py" in unit_tests_of("evaluation/calibration")
    assert unit_tests_of("experiments/of_a_new_module") == ["tests/unit/experiments"]


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(SystemExit, match="neither a module nor a package src/bertune/optim/nothing"):
        modules_of(["optim/nothing"])
