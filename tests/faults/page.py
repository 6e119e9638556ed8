"""The results as a page."""

from typing import Any

TITLES = {
    "mutations": "Damaged files",
    "flushed": "Written and flushed",
    "kills": "Kills and signals",
    "writes": "Cut writes and full disks",
    "bits": "Damaged checkpoints",
    "memory": "Memory over time",
    "code": "No code from data",
}


def page(values: dict[str, Any]) -> str:
    """Returns the page: what was tried, what survived, what was lost."""
    about = values["machine"]
    lines = [
        "# Faults",
        "",
        "`make faults`, or `python -m tests.faults --only SECTION …`: parts that are run again replace what was found.",
        "",
        f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, Python {about['python']}, "
        + ", ".join(f"{name} {version}" for name, version in values["versions"].items()),
    ]
    for section, title in TITLES.items():
        parts = values.get(section)
        if not parts:
            continue
        lines += ["", f"## {title}", "", *(_mutations(parts) if section == "mutations" else _parts(parts))]
    return "\n".join(lines) + "\n"


def _mutations(parts: dict[str, dict[str, Any]]) -> list[str]:
    total = {key: sum(each[key] for each in parts.values()) for key in ("tried", "read", "refused", "lost")}
    lines = [
        "Read: the damage left sound content, or content that no checksum covers. Refused: one error of bertune's that "
        "names the file, exit code 2 or 3. Lost: anything else, more than 1 s of the processor, or more than 64 MiB.",
        "",
        "| format | reader | tried | read | refused | lost | slowest | most memory |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, each in parts.items():
        cells = [each["format"], name, *(f"{each[key]:,}" for key in ("tried", "read", "refused", "lost"))]
        lines.append(_row([*cells, f"{each['slowest_seconds']:.2f} s", f"{each['largest_kib'] / 1024:.1f} MiB"]))
    lines.append(_row(["all", "", *(f"{count:,}" for count in total.values()), "", ""]))
    return lines + _faults(parts)


def _parts(parts: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["| what | tried | survived | lost | measured |", "|---|---:|---:|---:|---|"]
    for name, each in parts.items():
        counts = [f"{each[key]:,}" for key in ("tried", "survived", "lost")]
        lines.append(_row([name, *counts, each.get("measured", "")]))
    return lines + _faults(parts)


def _faults(parts: dict[str, dict[str, Any]]) -> list[str]:
    found = [f"- {name}: {fault[:200]}" for name, each in parts.items() for fault in each["faults"]]
    return ["", "Lost:", "", *found] if found else []


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
