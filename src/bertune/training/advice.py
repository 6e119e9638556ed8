"""What to try when a run ended in a way that other settings usually mend.

Each advice rests on numbers of the run alone, and names flags of `bertune train` that exist and are not in use. The
thresholds are below. They are meant to be silent on a run that has learned: a loss that is within a tenth of the floor
counts as learned, however few its steps, and a loss that still falls is told only while the validation loss falls with
it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from bertune.audit.label_faults import metric_for_rare
from bertune.data.task_kind import TaskKind
from bertune.evaluation.regression_baseline import BaselineComparison
from bertune.evaluation.scores import Scores
from bertune.system.hinted_values import named
from bertune.training.loss_bounds import LossBounds
from bertune.wording.counts import counted

Code = Literal["collapsed", "near_chance", "below_baseline", "still_falling", "few_steps"]

NEAR_CHANCE: Final = 0.95
"""Where between floor (0) and chance (1) the last epoch's training loss counts as near chance."""
FALLING: Final = 0.08
"""A fall in the last epoch by this share of the way from chance to floor is fast."""
LEARNED: Final = 0.1
"""A training loss this near the floor (of the same way) needs no more steps."""
FEW_STEPS: Final = 100
ENOUGH_STEPS: Final = 200
"""What is advised where steps are few."""
MOST_EPOCHS: Final = 30
RARE: Final = 0.2
"""A label is rare below this fraction of its even share, as for the audit's `imbalance`."""
SMALL_ENCODER: Final = 60_000_000
"""Parameters of the layers, without embeddings, below which a larger encoder is among the advice."""

_SMALL_BATCH = 8
_LARGER_ENCODER = "bert-base-uncased"
# Rates that differ by less are the same for advice.
_ANOTHER_RATE = 1.5
_SEEDS_THAT: dict[str, str] = {
    "collapsed": "collapsed: they give every row the same answer",
    "near_chance": "ended with a training loss near chance",
    "below_baseline": "are below a regression on frozen features or TF-IDF",
    "still_falling": "ended while the loss still fell fast",
    "few_steps": "trained few optimizer steps",
}


@dataclass(frozen=True)
class Advice:
    """A reason for other settings, and which.

    Args:
        code: fixed; one of `Code`.
        message: one sentence with the numbers it rests on.
        commands: alternatives: flags to add to the same `bertune train`, the most promising first; `try` in files.
    """

    code: Code
    message: str
    commands: tuple[str, ...] = field(metadata=named("try"))


@dataclass(frozen=True, kw_only=True)
class SettingsInUse:
    """The settings of a run that advice may change, as concrete numbers.

    Args:
        recipe: its name, or nothing where that is not known.
        epochs: of the schedule.
        batch_size: examples a step.
        learning_rate: the peak.
        metric: that chooses the best epoch.
        model: the encoder, as the user named it.
        pooling: cls or mean.
        has_class_weights: whether classes are weighted.
        usual_rate: a peak rate that suits an encoder of this size.
    """

    recipe: str
    epochs: int
    batch_size: int
    learning_rate: float
    metric: str
    model: str
    pooling: str
    has_class_weights: bool
    usual_rate: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended.

    Args:
        kind: of the task.
        rows: of the training data.
        steps: that were taken.
        train_losses: of each epoch, mean over its examples, each before its update.
        validation_losses: after each epoch; empty without validation data.
        bounds: of the training loss.
        scores: of the model that is kept; None without validation data.
        beside: that model beside the regressions that it is held against.
        label_counts: training rows with each label; empty for values.
        encoder_parameters: of its layers, without embeddings.
        stopped_early: whether patience ended it.
    """

    kind: TaskKind
    rows: int
    steps: int
    train_losses: tuple[float, ...]
    bounds: LossBounds
    validation_losses: tuple[float, ...] = ()
    scores: Scores | None = None
    beside: tuple[BaselineComparison, ...] = ()
    label_counts: Mapping[str, int]
    encoder_parameters: int
    stopped_early: bool = False


def advise(outcome: Outcome, in_use: SettingsInUse) -> tuple[Advice, ...]:
    """Returns what to try, the gravest first; nothing for a run that has learned.

    - `collapsed`: all validation rows get one answer (`Scores.is_majority`).
    - `near_chance`: the last epoch's training loss is at `NEAR_CHANCE` or above, measured by the objective's own
      bounds, so with class weights and label smoothing too. Not told beside `collapsed`, which it causes.
    - `below_baseline`: the first metric is below that of a regression on frozen features or on TF-IDF
      (`BaselineComparison.is_below`); the one that leads by more is named.
    - `still_falling`: the training loss fell by `FALLING` or more in the last of two epochs or more, that of validation
      was never lower, and patience did not end the run.
    - `few_steps`: fewer than `FEW_STEPS`, and the loss is not near the floor.

    Args:
        outcome: how the run ended.
        in_use: its settings; none of them is advised.
    """
    share = outcome.bounds.share_of(outcome.train_losses[-1])
    found = []
    has_collapsed = outcome.scores is not None and outcome.scores.is_majority
    if has_collapsed:
        found.append(_collapsed(outcome, in_use))
    elif share >= NEAR_CHANCE:
        found.append(_near_chance(outcome, in_use))
    below = max((each for each in outcome.beside if each.is_below), key=lambda each: each.lead, default=None)
    if below is not None:
        mean = ("--pooling mean",) if in_use.pooling == "cls" and below.features == "frozen features" else ()
        found.append(Advice("below_baseline", below.sentence(), _usual(outcome, in_use) + mean))
    if _is_still_falling(outcome) and share > LEARNED:
        before, last = outcome.train_losses[-2:]
        message = f"the training loss still fell fast at the end, from {before:.4f} to {last:.4f} in the last epoch"
        found.append(Advice("still_falling", message, _recipe(in_use) + _longer(outcome, in_use)))
    if outcome.steps < FEW_STEPS and share > LEARNED:
        steps = counted(outcome.steps, "optimizer step is", "optimizer steps are")
        message = f"{steps} few: the model may have only begun to learn"
        found.append(Advice("few_steps", message, _recipe(in_use) + _longer(outcome, in_use)))
    return tuple(found)


def advice_of_seeds(seeds: Sequence[tuple[int, Sequence[Advice]]]) -> tuple[Advice, ...]:
    """Puts the advice of several seeds of a run together: one of each code, with how many seeds it is about and which.

    Args:
        seeds: each seed's number and advice, also where there is none.
    """
    by_code: dict[Code, list[tuple[int, Advice]]] = {code: [] for code in Code.__args__}  # type: ignore[attr-defined]
    for seed, advice in seeds:
        for each in advice:
            by_code[each.code].append((seed, each))
    found = []
    for code, told in by_code.items():
        if told:
            numbers = ", ".join(str(seed) for seed, _ in told)
            message = f"{len(told)} of {len(seeds)} seeds {_SEEDS_THAT[code]} ({numbers})"
            found.append(Advice(code, message, commands_of(each for _, each in told)))
    return tuple(found)


def commands_of(advice: Iterable[Advice]) -> tuple[str, ...]:
    """Returns the commands of several, in order, without those whose flags an earlier one has beside others."""
    found: list[str] = []
    for command in (command for each in advice for command in each.commands):
        if not any(set(_flags(command)) <= set(_flags(earlier)) for earlier in found):
            found.append(command)
    return tuple(found)


def _flags(command: str) -> list[str]:
    return command.replace(" --", "\n--").split("\n")


def advice_lines(advice: Sequence[Advice]) -> list[str]:
    """Returns advice as lines for a terminal: the warnings, then what to try; nothing where there is none."""
    commands = commands_of(advice)
    tried = [f"{'try' if number == 0 else ' or'}: {command}" for number, command in enumerate(commands)]
    return [*(f"warning: {each.message}" for each in advice), *tried]


def _collapsed(outcome: Outcome, in_use: SettingsInUse) -> Advice:
    scores = outcome.scores
    assert scores is not None
    if not outcome.kind.has_labels:
        message = "this run collapsed: the predicted values hardly vary"
    elif outcome.kind.has_label_sets:
        message = "this run collapsed: every validation row is given the same labels"
    else:
        only = next(at for at, _ in enumerate(scores.label_names) if any(row[at] for row in scores.confusion))
        name = scores.label_names[only]
        message = f"this run collapsed: every validation row is answered {name!r}"
        if total := sum(outcome.label_counts.values()):
            message += f", as {_percent(outcome.label_counts.get(name, 0) / total)} of the training rows are"
    commands = _usual(outcome, in_use, another_rate=in_use.learning_rate / 2)
    if rarest := _rare_label(outcome.label_counts):
        total = sum(outcome.label_counts.values())
        message += (
            f"; the training data are imbalanced ({rarest!r} makes up "
            f"{_percent(outcome.label_counts[rarest] / total)} of the labels), and {in_use.metric} chooses the best "
            "epoch"
        )
        commands = _against_imbalance(outcome, in_use) + commands
    return Advice("collapsed", message, commands + _encoder(outcome, in_use))


def _near_chance(outcome: Outcome, in_use: SettingsInUse) -> Advice:
    loss, chance = outcome.train_losses[-1], outcome.bounds.chance
    first = None if outcome.scores is None else next(iter(outcome.scores.metrics.values()))
    so = "it has only begun to learn" if first and first.against_baseline == "better" else "it has learned little"
    message = f"the training loss ended at {loss:.4f}, near the {chance:.4f} of one answer for all rows: {so}"
    return Advice("near_chance", message, _usual(outcome, in_use) + _encoder(outcome, in_use))


def _is_still_falling(outcome: Outcome) -> bool:
    losses, measured = outcome.train_losses, outcome.validation_losses
    if outcome.stopped_early or len(losses) < 2 or (measured and measured[-1] > min(measured)):
        return False
    bounds = outcome.bounds
    return bounds.chance > bounds.floor and losses[-2] - losses[-1] >= FALLING * (bounds.chance - bounds.floor)


def _usual(outcome: Outcome, in_use: SettingsInUse, *, another_rate: float | None = None) -> tuple[str, ...]:
    """The recipe that derives its settings from encoder and data, or by hand another rate and more steps.

    Args:
        outcome: of the run.
        in_use: its settings.
        another_rate: to name where the usual one is in use.
    """
    ratio = in_use.usual_rate / in_use.learning_rate
    rate = another_rate if 1 / _ANOTHER_RATE < ratio < _ANOTHER_RATE else in_use.usual_rate
    by_hand = " ".join([*([] if rate is None else [f"--learning-rate {_short(rate)}"]), *_longer(outcome, in_use)])
    return _recipe(in_use) + ((by_hand,) if by_hand else ())


def _recipe(in_use: SettingsInUse) -> tuple[str, ...]:
    return () if in_use.recipe == "auto" else ("--recipe auto",)


def _longer(outcome: Outcome, in_use: SettingsInUse) -> tuple[str, ...]:
    """More steps: twice as many, and at least `ENOUGH_STEPS`; nothing where there cannot be more."""
    wanted, flags, batch = max(2 * outcome.steps, ENOUGH_STEPS), [], in_use.batch_size
    if outcome.steps < FEW_STEPS and batch > _SMALL_BATCH:
        batch = _SMALL_BATCH
        flags.append(f"--batch-size {batch}")
    epochs = min(math.ceil(wanted / math.ceil(outcome.rows / batch)), MOST_EPOCHS)
    # Where patience ended the run, more epochs are not what it lacks.
    if epochs > in_use.epochs and not outcome.stopped_early:
        flags.append(f"--epochs {epochs}")
    return (" ".join(flags),) if flags else ()


def _against_imbalance(outcome: Outcome, in_use: SettingsInUse) -> tuple[str, ...]:
    flags = [] if in_use.has_class_weights else ["--class-weights balanced"]
    if in_use.metric not in ("f1", "f1_macro", "f1_micro", "matthews"):
        names, rarest = tuple(outcome.label_counts), _rare_label(outcome.label_counts)
        flags.append(f"--metric {metric_for_rare(names, rarest) if outcome.kind.has_one_label else 'f1_macro'}")
    return (" ".join(flags),) if flags else ()


def _rare_label(counts: Mapping[str, int]) -> str:
    """Returns the rarest label that occurs, where it is rare; otherwise nothing."""
    known = {name: count for name, count in counts.items() if count}
    if len(known) < 2:
        return ""
    rarest = min(known, key=lambda name: known[name])
    return rarest if known[rarest] * len(known) / sum(known.values()) < RARE else ""


def _encoder(outcome: Outcome, in_use: SettingsInUse) -> tuple[str, ...]:
    """A larger encoder: small ones, above all those trained for the meaning of sentences, know little of grammar."""
    is_small = outcome.encoder_parameters < SMALL_ENCODER and in_use.model != _LARGER_ENCODER
    return (f"--model {_LARGER_ENCODER}",) if is_small else ()


def _short(rate: float) -> str:
    """As people type it: 1e-4."""
    digits, exponent = f"{rate:.1e}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
