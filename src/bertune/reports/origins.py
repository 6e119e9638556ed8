"""Where a result comes from: settings, data, the restored weights, versions, and the command that repeats it."""

from collections.abc import Mapping, Sequence
from typing import Final

from bertune.audit.audit import SplitAudit
from bertune.audit.findings import Finding
from bertune.audit.length_counts import length_line
from bertune.reports.page import code, details, facts, note, section, table
from bertune.reports.run_metrics import CountedReceipt, RunMetrics
from bertune.reports.words import name_of
from bertune.training.saved_run import SavedData
from bertune.wording.excerpt import excerpt
from bertune.wording.markup import Html, element

_LONGEST_VALUE: Final = 300
_TASK: Final = {
    "classification": "one label of several",
    "multi-label": "any number of labels",
    "regression": "a value",
}


def what_was_run(numbers: RunMetrics) -> Html:
    """Returns what was trained on what, in a few lines."""
    model, data, settings = numbers.model, numbers.data, numbers.settings
    reports = {} if data is None else data.reports
    rows = {
        name: f"{report.rows_used:,} rows of {excerpt(report.path, _LONGEST_VALUE)}" for name, report in reports.items()
    }
    known: dict[str, object] = {}
    if model is not None:
        texts = [model.text_a, *([model.text_b] if model.is_pair else [])]
        known["encoder"] = excerpt(model.base_model, _LONGEST_VALUE)
        known["predicts"] = f"{_TASK[model.kind]}" + _of(model.labels)
        known["from"] = f"{' and '.join(name_of(column) for column in texts)}, at most {model.max_length} tokens"
        if model.trained:
            known["trained part"] = model.trained
    keys = ("epochs", "batch-size", "learning-rate", "seed", "precision")
    trained = ", ".join(f"{key.replace('-', ' ')} {settings[key]}" for key in keys if key in settings)
    return section("run", "What was run", facts(known | rows | {"trained with": trained or None}))


def _of(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    shown = ", ".join(name_of(label) for label in labels[:8])
    return f": {shown}" + (f", … ({len(labels)} in all)" if len(labels) > 8 else "")


def data_audit(data: SavedData | None) -> list[Html]:
    """Returns what was read and what the audit found; nothing where it was not written."""
    if data is None:
        return []
    content = []
    if data.splits:
        names = {
            "rows_in": "rows in",
            "rows_used": "used",
            "rows_refused": "refused",
            "blank_texts": "blank",
            "duplicates": "repeated",
            "conflicts": "conflicting",
        }
        rows = [[name, *(f"{getattr(split, key):,}" for key in names)] for name, split in data.splits.items()]
        content.append(table(["split", *names.values()], rows))
        content += _labels(data.splits)
    else:
        rows = [[name, f"{report.rows_used:,}"] for name, report in data.reports.items()]
        content.append(table(["split", "rows"], rows))
    if held := data.held_out:
        content.append(
            note(
                f"{held.rows:,} of {held.of:,} rows of the training data were held back for validation "
                f"({held.method}); data.json names them."
            )
        )
    content += _lengths(data.splits)
    found = [_finding(finding) for finding in data.findings]
    content.append(element("ul", *found) if found else note("The audit found nothing to report."))
    content += [note(f"{name}: {counts.summary()}.") for name, counts in (data.long_texts or {}).items()]
    refused = [row for report in data.reports.values() for row in report.refused]
    if refused:
        shown = [[f"{row.path}:{row.line}", excerpt(row.reason, _LONGEST_VALUE)] for row in refused[:50]]
        content.append(details(f"{len(refused):,} refused rows", table(["where", "why"], shown, words=2)))
    return [section("data", "Data", *content)]


def _finding(finding: Finding) -> Html:
    """Returns a finding with the places of its first rows, each beside the row that it repeats or contradicts."""
    places, others = finding.places, finding.counterparts
    shown = [f"{mine} ({other})" for mine, other in zip(places, others, strict=True)] if others else places
    where = [element("div", "at ", excerpt(", ".join(shown), 1_000))] if shown else []
    return element("li", element("b", finding.code), ": ", excerpt(finding.message, 1_000), *where)


def _lengths(splits: Mapping[str, SplitAudit]) -> list[Html]:
    """Returns lengths in characters and tokens with their bars, and what the vocabulary cannot spell."""
    rows = []
    for name, split in splits.items():
        if split.character_histogram:
            rows.append([name, "characters", length_line(split.characters, split.character_histogram)])
        if figures := split.tokens:
            rows.append([name, "tokens", length_line(figures.lengths, figures.histogram)])
            if figures.unknown:
                rows.append([name, "unknown", excerpt(figures.unknown_line(), _LONGEST_VALUE)])
    return [element("h3", "Lengths"), table(["split", "", "from … to; quantiles"], rows, words=3)] if rows else []


def _labels(splits: Mapping[str, SplitAudit]) -> list[Html]:
    counted = {name: split.label_counts for name, split in splits.items() if split.label_counts}
    if not counted:
        return []
    labels = list(dict.fromkeys(label for counts in counted.values() for label in counts))
    rows = [[name_of(label), *(f"{counts.get(label, 0):,}" for counts in counted.values())] for label in labels[:50]]
    return [element("h3", "Rows of each label"), table(["label", *counted], rows)]


def weights(receipt: CountedReceipt | None) -> list[Html]:
    """Returns what became of every tensor of the checkpoint; nothing where it was not written."""
    if receipt is None:
        return []
    counts = ", ".join(f"{count:,} {status}" for status, count in receipt.counts.items())
    rows = [
        [tensor.status, name_of(tensor.name), " x ".join(map(str, tensor.shape)), tensor.reason]
        for tensor in receipt.tensors
    ]
    folded = details(f"Every tensor: {counts}", table(["", "tensor", "shape", "why"], rows, words=4))
    is_kept = any(tensor.status == "loaded" and tensor.name == "classifier.weight" for tensor in receipt.tensors)
    told = note(f"{receipt.summary}. The classifier head is {'kept' if is_kept else 'new'}.")
    return [section("weights", "Restored weights", told, folded)]


def origins(numbers: RunMetrics) -> Html:
    """Returns the command that repeats the run, all its settings, and the versions."""
    settings = [[name, excerpt(str(value), _LONGEST_VALUE)] for name, value in numbers.settings.items()]
    made_with = [[name, str(value)] for name, value in numbers.made_with.items()]
    return section(
        "repeat",
        "Repeat it",
        code(numbers.command),
        note(
            "On the same machine with the same number of threads and the same versions it gives the same model, bit "
            "for bit; name a new folder with --out."
        ),
        details("All settings", table(["setting", "value"], settings, words=2)),
        details("Versions", table(["package", "version"], made_with, words=2)),
    )
