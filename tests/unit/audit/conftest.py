"""The fixtures of `data`."""

from tests.unit.data.conftest import glue_dir as glue_dir
from tests.unit.data.conftest import write as write
