"""docs/benchmarks.md and the reports, made from results."""

import json
from pathlib import Path

from benchmarks.speed.page import PAGE, RESULTS, counts, limits_table, newest_results, other_results, page
from benchmarks.speed.summary import OURS, by_name, figures, ratio_between


def write(folder: Path, name: str, seconds: float) -> None:
    result = {
        "what": "startup",
        "date": name.rpartition("_")[2],
        "command": "python -m benchmarks.speed --what startup",
        "machine": {"cpu": "a processor"},
        "versions": {"bertune": "1"},
        "commands": [
            {"name": "help", "title": "`bertune --help`", "seconds": [seconds] * 3},
            {"name": "import", "title": "`import bertune`", "seconds": [0.04] * 3},
        ],
    }
    (folder / f"{name}.json").write_text(json.dumps(result))


def test_the_newest_result_of_a_name_counts_and_the_newest_hardware_comes_first(tmp_path: Path) -> None:
    write(tmp_path, "speed-startup_z-machine_2026-01-02", 0.3)
    write(tmp_path, "speed-startup_a-machine_2026-01-01", 0.2)
    write(tmp_path, "speed-startup_a-machine_2026-01-03", 0.1)
    results = newest_results(tmp_path)
    assert list(results) == ["a-machine", "z-machine"]
    path, result = results["a-machine"]["speed-startup"]
    assert path.name == "speed-startup_a-machine_2026-01-03.json"
    assert result["commands"][0]["seconds"] == [0.1] * 3
    first = next(line for line in page(results, {}).splitlines() if "`bertune --help`" in line)
    assert first.index("0.100 s") < first.index("0.300 s")


def test_the_page_says_what_was_reached_missed_and_not_measured(tmp_path: Path) -> None:
    write(tmp_path, "speed-startup_machine_2026-01-02", 0.3)
    lines = page(newest_results(tmp_path), {"One GPU": []}).splitlines()
    link = "(../benchmarks/results/speed-startup_machine_2026-01-02.md)"
    assert f"| `bertune --help` | 0.15 s | [0.300 s]{link}: **no** |" in lines
    assert f"| `import bertune` | 0.05 s | [0.040 s]{link}: yes |" in lines
    assert "| BERT-tiny shape against transformers defaults | 10.0x | not measured |" in lines
    assert lines[lines.index("## One GPU") + 2] == "Not measured yet."


def test_missed_targets_come_first_and_method_after_results() -> None:
    text = page(newest_results(RESULTS), other_results(RESULTS))
    targets = [line for line in text[: text.index("## On ")].splitlines() if ": yes |" in line or "**no**" in line]
    missed = ["**no**" in line for line in targets]
    assert any(missed)
    assert missed == sorted(missed, reverse=True)
    assert text.index("## Targets") < text.index("## On ") < text.index("## How it is measured")


def test_trials_and_other_data_reach_no_figure() -> None:
    assert counts({"rounds": 5, "workload": {"data": "MRPC"}})
    assert not counts({"rounds": 4, "workload": {"data": "MRPC"}})
    assert not counts({"rounds": 5, "workload": {"data": "the demo's questions"}})


def test_the_page_in_docs_is_what_the_results_make() -> None:
    assert PAGE.read_text("utf-8") == page(newest_results(RESULTS), other_results(RESULTS))


def test_what_products_allow_is_the_ratio_by_the_share_of_their_rate() -> None:
    results = newest_results(RESULTS)
    line = next(line for line in limits_table(results) if "roberta-base" in line and "xlm" not in line)
    _, result = results[line.split("|")[1].strip()]["speed-train-roberta"]
    ratio = ratio_between(result, OURS, "transformers-bf16")
    assert ratio is not None
    share = figures(by_name(result)[OURS], result)["executed_share"]
    assert line.endswith(f"| {share:.0%} | {ratio.value:.2f}x | {ratio.value / share:.2f}x |")
