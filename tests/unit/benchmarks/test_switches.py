"""What benchmarks take away by `BERTUNE_DISABLE` is what bertune knows by these names."""

import re
from pathlib import Path
from typing import get_args

from benchmarks.paired_seeds import SYSTEMS

from bertune.system.feature_switches import VARIABLE, FeatureSwitch

ROOT = Path(__file__).parents[3]


def test_paired_seeds_switch_off_what_there_is() -> None:
    named = [name for variables, _ in SYSTEMS.values() for name in variables.get(VARIABLE, "").split(",") if name]
    assert named
    assert set(named) <= set(get_args(FeatureSwitch))


def test_make_bench_switches_off_what_there_is() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    lists = re.findall(r"^SWITCHES := (.*)$", text, flags=re.MULTILINE) + re.findall(r"--without ([\w,+-]+)", text)
    named = {name for words in lists for name in re.split(r"[,+]", words)}
    assert {"kernels", "fp32-products"} <= named <= set(get_args(FeatureSwitch))
