"""The help of a verb: what most people need on one screen, everything with `--help-all`."""

import importlib
import inspect
import textwrap
from typing import TYPE_CHECKING, Any, Final

from bertune.wording.aligned import output_width

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

EXAMPLES: Final = {
    "train": "bertune train --data reviews.csv --text-a text --label label --out runs/reviews",
    "sweep": "bertune sweep --data reviews.csv --text-a text --label label --out runs/sweep --trials 8",
    "evaluate": "bertune evaluate runs/reviews --data test.csv",
    "predict": "bertune predict runs/reviews --data new.csv --out answers.csv",
    "encode": "bertune encode --data reviews.csv --text-a text --label label --out encoded",
    "distill": "bertune distill runs/reviews --keep-layers 0,2,4 --unlabelled more.csv --out runs/small",
    "calibrate": "bertune calibrate runs/reviews --threshold auto",
    "compare": "bertune compare runs/small runs/large",
    "export": "bertune export runs/reviews exported --format transformers",
    "verify": "bertune verify exported",
    "serve": "bertune serve runs/reviews --port 8000",
    "push": "bertune push runs/reviews me/reviews --license apache-2.0 --language en --dataset none",
    "report": "bertune report runs/reviews",
    "inspect": "bertune inspect reviews.csv --text-a text --label label",
    "demo": "bertune demo --out runs/demo",
}
# The flags by what they are about, in the order of the page; a flag of no group comes under the last heading.
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "Data": (
        *("--data", "--validation", "--test", "--split", "--task", "--text-a", "--text-b", "--label", "--labels"),
        *("--kind", "--label-separator", "--positive", "--allow-no-label", "--target-range", "--group", "--relabel"),
        *("--soft-labels", "--unlabelled"),
    ),
    "Reading tables": (
        *("--delimiter", "--encoding", "--no-header", "--quoting", "--on-bad-row", "--max-bad-rows"),
        *("--label-file", "--strict"),
    ),
    "Model": (
        *("--model", "--tokenizer", "--pooling", "--max-length", "--long-text", "--window-stride"),
        *("--allow-new", "--keep-head", "--keep-layers", "--teacher", "--skip-probe"),
    ),
    "Search": (
        *("--trials", "--search-learning-rate", "--search-batch-size", "--search-epochs", "--search-seed"),
        *("--reduction", "--draw-seed"),
    ),
    "Training": (
        *("--recipe", "--epochs", "--learning-rate", "--batch-size", "--micro-batch-size", "--class-weights"),
        *("--metric", "--patience", "--evaluate-every", "--seed", "--seeds", "--folds", "--parallel-seeds"),
        "--average",
        *("--optimizer", "--warmup-fraction", "--weight-decay", "--layer-decay"),
        *("--freeze", "--lora", "--lora-alpha", "--reinit-layers", "--label-smoothing", "--max-gradient-norm"),
        *("--temperature", "--mix"),
    ),
    "Model card": ("--license", "--language", "--dataset", "--base-model", "--scores-of"),
    "Upload": ("--public", "--revision", "--create-pr", "--with-rows", "--dry-run"),
    "Thresholds": ("--threshold", "--threshold-for"),
    "Explanations": ("--explain", "--explain-by", "--limit"),
    "Computing": ("--device", "--precision", "--processes", "--process-timeout"),
    "Listening": ("--host", "--port", "--api-key-file", "--max-connections"),
    "Requests": ("--max-body-bytes", "--max-texts", "--max-characters", "--request-timeout"),
    "Queue and batches": (*("--max-queue", "--queue-deadline", "--max-batch-tokens", "--max-wait", "--drain-timeout"),),
    "Several processes and machines": ("--shard", "--engine", "--ray-address", "--ray-actors", "--ray-cpus"),
    "Output": (
        *(
            "--out",
            "--overwrite",
            "--format",
            "--shards",
            "--key",
            "--keep",
            "--top-k",
            "--formula-safe",
            "--glue-submission",
        ),
        *("--rows", "--html", "--plot", "--tensorboard", "--keep-adapter", "--json", "--quiet", "--verbose"),
    ),
}
_OTHERS: Final = "Further options"
# What `--help` shows where not all flags fit on a screen.
USUAL: Final = frozenset(
    {
        *("--data", "--out", "--model", "--task", "--text-a", "--text-b", "--label", "--labels", "--kind"),
        *("--validation", "--test", "--split", "--delimiter", "--no-header", "--max-length", "--metric"),
        *("--recipe", "--epochs", "--batch-size", "--learning-rate", "--class-weights", "--seed", "--seeds"),
        *("--folds", "--trials", "--search-learning-rate", "--search-batch-size", "--search-epochs"),
        *(
            "--format",
            "--shards",
            "--shard",
            "--key",
            "--keep",
            "--top-k",
            "--explain",
            "--overwrite",
            "--json",
            "--quiet",
        ),
    }
)
# Lines of flags that leave room on a screen of 60 lines for what stands above and below.
_MOST_LINES: Final = 44
# Where explanations begin.
_COLUMN: Final = 20
_NOTHING: Final = ("False", "()", "None", "")


class HelpPage:
    """Draws a page of help: plain text in groups, at most as wide as the terminal.

    Args:
        verb: whose page; None for the page of all verbs.
        everything: all flags with all that is to be said of them; otherwise a clause for each, and of a verb with more
            flags than fit on a screen the usual ones.
    """

    def __init__(self, verb: str | None = None, *, everything: bool = False) -> None:
        self._verb = verb
        self._everything = everything

    def render_usage(self, console: "Console", options: "ConsoleOptions", usage: Any) -> None:  # noqa: ARG002
        """Draws the first line."""
        _draw(console, _paragraph(str(usage).strip(), output_width(), indent=len("Usage: bertune ")))

    def render_description(self, console: "Console", options: "ConsoleOptions", description: Any) -> None:  # noqa: ARG002
        """Draws what the verb does, with an example."""
        width = output_width()
        paragraphs = [_plain(description)]
        if self._everything and self._verb is not None:
            paragraphs = _docstring(self._verb)
        for paragraph in paragraphs:
            _draw(console, ["", *_paragraph(paragraph, width)])
        if self._verb is not None:
            _heading(console, "Example")
            _draw(console, _paragraph(EXAMPLES[self._verb], width, first=2, indent=4))

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:  # noqa: ARG002
        """Draws all verbs, or all flags of one."""
        if not panel.entries:
            return
        width = output_width()
        if self._verb is None:
            rows = [(" ".join(entry.all_options), _plain(entry.description)) for entry in panel.entries]
            _heading(console, panel.title)
            _draw(console, _table(rows, width))
            _draw(console, ["", *_paragraph("Each verb explains itself, with an example: bertune VERB --help", width)])
            return
        everything = self._grouped(panel.entries)
        shown = everything
        if not self._everything and _height(everything, width) > _MOST_LINES:
            usual = [entry for entry in panel.entries if entry.required or _name(entry) in USUAL or _is_place(entry)]
            shown = self._grouped(usual)
        for heading, rows in shown.items():
            _heading(console, heading)
            _draw(console, _table(rows, width))
        _heading(console, "Options from elsewhere")
        _draw(console, _table(_elsewhere(self._verb, _name(panel.entries[-1])), width))
        if not self._everything:
            hidden = sum(map(len, everything.values())) - sum(map(len, shown.values()))
            more = f"{hidden} more options, and all of it in full" if hidden else "All of it in full"
            _draw(console, ["", *_paragraph(f"{more}: bertune {self._verb} --help-all", width)])

    def _grouped(self, entries: "list[HelpEntry]") -> dict[str, list[tuple[str, str]]]:
        """Groups flags, each with its explanation; groups without any are left out."""
        places = {flag: (heading, place) for heading, flags in GROUPS.items() for place, flag in enumerate(flags)}
        groups: dict[str, list[HelpEntry]] = {heading: [] for heading in ("Arguments", *GROUPS, _OTHERS)}
        for entry in entries:
            is_known = not _is_place(entry) and _name(entry) in places
            heading = "Arguments" if _is_place(entry) else places[_name(entry)][0] if is_known else _OTHERS
            groups[heading].append(entry)
        for heading in GROUPS:
            groups[heading].sort(key=lambda entry: places[_name(entry)][1])
        return {
            heading: [(_name(entry), self._explained(entry)) for entry in of_group]
            for heading, of_group in groups.items()
            if of_group
        }

    def _explained(self, entry: "HelpEntry") -> str:
        text = _plain(entry.description)
        if not self._everything:
            text = first_clause(text)
        choices = [f"{choice} (default)" if choice == entry.default else choice for choice in entry.choices or ()]
        is_told = entry.default in (entry.choices or ()) or (entry.default or "") in _NOTHING
        facts = [
            *([", ".join(choices)] if choices else []),
            *([f"default {entry.default}"] if not is_told else []),
            *(["required"] if entry.required and not _is_place(entry) else []),
        ]
        return f"{text} [{'; '.join(facts)}]" if facts else text


def first_clause(text: str) -> str:
    """Gives a description up to its first full stop or semicolon outside of parentheses."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and letter in ".;" and text[place + 1 : place + 2] in ("", " "):
            return text[:place]
    return text


def _docstring(verb: str) -> list[str]:
    """Gives the paragraphs of a verb's docstring above its arguments, without marks of code."""
    function = getattr(importlib.import_module(f"bertune.cli.{verb}"), verb)
    above = (inspect.getdoc(function) or "").partition("\nArgs:")[0]
    return [" ".join(paragraph.replace("`", "").split()) for paragraph in above.strip().split("\n\n")]


def _elsewhere(verb: str, flag: str) -> list[tuple[str, str]]:
    """Says how else than by flags options are set.

    Args:
        verb: whose.
        flag: one of its flags, for an example.
    """
    variable = f"BERTUNE_{verb}{flag[1:]}".replace("-", "_").upper()
    return [
        ("--config FILE", f"options from the table [{verb}] of a TOML file"),
        ("environment", f"each option is a variable, too: {variable}"),
    ]


def _name(entry: "HelpEntry") -> str:
    return entry.positive_names[0]


def _is_place(entry: "HelpEntry") -> bool:
    """Whether it is an argument without a flag."""
    return not _name(entry).startswith("-")


def _plain(description: Any) -> str:
    """Gives a description as plain text."""
    text = getattr(description, "primary_renderable", description)
    return " ".join(str(getattr(text, "plain", text) or "").replace("`", "").split())


def _height(groups: dict[str, list[tuple[str, str]]], width: int) -> int:
    return sum(len(_table(rows, width)) + 2 for rows in groups.values())


def _table(rows: list[tuple[str, str]], width: int) -> list[str]:
    """Lays out names and explanations in two columns; a long name has a line of its own."""
    lines = []
    for name, text in rows:
        explained = textwrap.wrap(text, max(width - _COLUMN, 20), break_on_hyphens=False) or [""]
        if len(name) + 3 > _COLUMN:
            if len(name) + len(text) + 4 <= width:
                lines.append(f"  {name}  {text}")
                continue
            lines.append(f"  {name}")
        else:
            lines.append(f"{f'  {name}':{_COLUMN}}{explained.pop(0)}".rstrip())
        lines += [" " * _COLUMN + line for line in explained]
    return lines


def _paragraph(text: str, width: int, *, first: int = 0, indent: int = 0) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=" " * first, subsequent_indent=" " * indent, break_on_hyphens=False
    )


def _heading(console: "Console", title: Any) -> None:
    console.print()
    console.print(str(title), style="bold", markup=False, highlight=False)


def _draw(console: "Console", lines: list[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
