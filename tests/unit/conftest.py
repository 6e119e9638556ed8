"""What tests of several rooms need."""

import os
import platform
import shutil

import pytest


@pytest.fixture(scope="session")
def compiler() -> str:
    """The C compiler without which there are no compiled kernels."""
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if platform.system() != "Linux" or found is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no C compiler: nothing of the compiled kernels would be tested")
        pytest.skip("no C compiler, so that nothing here is computed by compiled kernels")
    return found
