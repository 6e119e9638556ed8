"""What tests of several rooms need."""

import platform
import shutil

import pytest


@pytest.fixture(scope="session")
def compiler() -> str:
    """The C compiler without which there are no compiled kernels."""
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if platform.system() != "Linux" or found is None:
        pytest.skip("no C compiler, so that nothing here is computed by compiled kernels")
    return found
