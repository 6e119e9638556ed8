"""The result as JSON, and as a page for people."""

import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("bertune", "torch", "tokenizers", "numpy", "safetensors", "tf-models-official", "tensorflow", "tf_keras"),
    *("tensorflow-hub", "tensorflow-datasets", "tensorflow-text", "protobuf"),
)


def machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().split("\n") if cpuinfo.exists() else []
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {
        "processor": next((line.split(": ")[1] for line in lines if "model name" in line), platform.processor()),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "threads": {name: os.environ[name] for name in threads if name in os.environ},
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def markdown(result: dict[str, Any]) -> str:
    sections = result["sections"]
    rows = [row for section in sections for row in section["rows"]]
    failed = sum(not row["passed"] for row in rows)
    lines = [
        "# bertune beside tf-models-official, at full size",
        "",
        f"{len(rows)} comparisons, {failed or 'none'} failed; {result['seconds'] / 60:.0f} minutes. BERT-base is 12 "
        "layers of 768, with random weights of a trained encoder's size. Command: `make parity`.",
        "",
        "The difference is the largest absolute one, beside it over the largest value of the original's. Where things "
        "are equal or not, it is the number of those that differ, and the tolerance is 0.",
    ]
    for section in sections:
        memory = f"{section['peak_bytes'] / 1e9:.1f} GB at the peak of one process"
        lines += ["", f"## {section['title']}", "", f"{section['seconds']:.0f} s, {memory}.", ""]
        lines += ["| compared | values | difference | relative | tolerance | | |", "|---|---|---|---|---|---|---|"]
        lines += [_line(row) for row in section["rows"]]
    about = result["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    threads = ", ".join(f"{name}={number}" for name, number in about["threads"].items())
    lines += [
        "",
        f"{about['processor']}, {about['cores']} cores{', ' if threads else ''}{threads}; "
        f"Python {about['python']}, {packages}.",
        "",
    ]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    relative = "" if row["relative"] is None else f"{row['relative']:.1e}"
    mark = "passed" if row["passed"] else "**FAILED**"
    note = row["note"].replace("|", "\\|").replace("\n", " ")
    cells = [row["compared"], f"{row['values']:,}", number(row["largest"]), relative, number(row["tolerance"])]
    return f"| {' | '.join(cells)} | {mark} | {note} |"


def number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value == int(value) or value > 100 else f"{value:.1e}" if value < 0.1 else f"{value:.1f}"
