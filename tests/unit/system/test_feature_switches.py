"""The environment variable that disables a feature, by its name and by that of the release before."""

import pytest

from bertune.errors import ConfigError
from bertune.system.feature_switches import is_disabled


def test_the_variable_names_what_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", "kernels, token-cache")
    assert is_disabled("kernels")
    assert is_disabled("token-cache")
    assert not is_disabled("kept-memory")


def test_its_earlier_name_works_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BERTUNE_DISABLE", raising=False)
    monkeypatch.setenv("BERTUNE_WITHOUT", "kernels")
    with pytest.warns(DeprecationWarning, match="BERTUNE_WITHOUT is deprecated: use BERTUNE_DISABLE"):
        assert is_disabled("kernels")
    monkeypatch.setenv("BERTUNE_WITHOUT", "kernel")
    with (
        pytest.warns(DeprecationWarning, match="BERTUNE_WITHOUT"),
        pytest.raises(ConfigError, match="BERTUNE_WITHOUT names 'kernel', which is none of kernels, fp32-products"),
    ):
        is_disabled("kernels")


def test_both_names_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", "kernels")
    monkeypatch.setenv("BERTUNE_WITHOUT", "")
    with pytest.raises(ConfigError, match="BERTUNE_DISABLE and its earlier name, BERTUNE_WITHOUT, are both set"):
        is_disabled("kernels")
