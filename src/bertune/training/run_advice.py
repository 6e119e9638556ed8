"""The advice on a run, from what was prepared and what it came to."""

import numpy as np

from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.answers import decisions
from bertune.evaluation.frozen_probe import FrozenComparison, FrozenProbe, probe
from bertune.evaluation.score_parts import Scoring
from bertune.nn.precision import choose_precision
from bertune.training.advice import Advice, Outcome, SettingsInUse, advise
from bertune.training.class_weights import class_weights_of
from bertune.training.config import TrainingConfig
from bertune.training.history import Evaluation, History
from bertune.training.loss_bounds import LossBounds, loss_bounds, soft_label_bounds
from bertune.training.objective import Objective
from bertune.training.plan import plan_of
from bertune.training.prepare import PreparedRun


def frozen_probe_of(run: PreparedRun) -> FrozenProbe | None:
    """Fits the regression on frozen features that the run is held against, with the encoder as it is: before training.

    Returns:
        None without validation data, where the run skips it, or where there is nothing to fit.
    """
    if run.validation is None or run.settings.skip_probe:
        return None
    objective = Objective.of(run.signature)
    return probe(
        run.classifier.encoder,
        objective.checked(run.train.labelled(), "train", run.classifier),
        objective.checked(run.validation, "validation", run.classifier),
        Scoring(
            objective.kind,
            objective.metrics,
            objective.names_of(run.classifier) if objective.kind.has_labels else None,
        ),
        epochs=run.config.epochs,
        precision=choose_precision(run.config.precision, run.classifier.device),
        target_range=objective.target_range,
    )


def beside_frozen(frozen: FrozenProbe | None, best: Evaluation, signature: ModelSignature) -> FrozenComparison | None:
    """Compares the model that is kept, by its temperature and thresholds, with the regression; None without either."""
    return None if frozen is None or best.logits is None else frozen.beside(decisions(best.logits, signature))


def advice_on(
    run: PreparedRun, history: History, best: Evaluation, frozen: FrozenComparison | None
) -> tuple[Advice, ...]:
    """Returns what to try instead of a run's settings; nothing where it has learned.

    Args:
        run: as it was prepared.
        history: of its training.
        best: the evaluation whose model is kept.
        frozen: the model beside the regression on frozen features.
    """
    signature, encoder = run.signature, run.classifier.encoder
    scored = [epoch.scores for epoch in history.epochs if epoch.scores is not None]
    outcome = Outcome(
        kind=signature.kind,
        rows=len(run.train),
        steps=len(history.steps),
        train_losses=tuple(epoch.train_loss for epoch in history.epochs),
        validation_losses=tuple(scores.mean_loss for scores in scored),
        bounds=_bounds(run),
        scores=best.scores,
        frozen=frozen,
        label_counts=dict(zip(signature.labels, _label_counts(run), strict=True)),
        encoder_parameters=encoder.layer_parameters,
        stopped_early=history.stopped_early,
    )
    in_use = SettingsInUse(
        recipe=run.config.recipe,
        epochs=run.config.epochs,
        batch_size=run.config.batch_size,
        learning_rate=run.config.learning_rate,
        metric=signature.metrics[0],
        model=run.settings.model,
        pooling=run.signature.pooling,
        has_class_weights=bool(run.config.class_weights),
        usual_rate=plan_of(TrainingConfig(), run.classifier, len(run.train)).learning_rate,
    )
    return advise(outcome, in_use)


def _bounds(run: PreparedRun) -> LossBounds:
    kind, targets = run.signature.kind, run.train.targets
    assert targets is not None
    if run.teaching is not None:  # a distance from the teacher, which no constant answer tells anything of
        return LossBounds(0.0, 0.0)
    weights = class_weights_of(run.config.class_weights, kind=kind, names=run.signature.labels, targets=targets)
    smoothing = run.config.label_smoothing
    if run.train.soft is not None:
        return soft_label_bounds(
            run.train.soft.values,
            label_smoothing=smoothing,
            class_weights=None if weights is None else weights.numpy(),
        )
    return loss_bounds(
        targets,
        kind=kind,
        num_labels=run.classifier.num_labels,
        label_smoothing=smoothing,
        class_weights=None if weights is None else weights.tolist(),
    )


def _label_counts(run: PreparedRun) -> list[int]:
    targets = run.train.known_targets
    assert targets is not None
    if not run.signature.kind.has_labels:
        return []
    counts = targets.sum(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=len(run.signature.labels))
    found: list[int] = counts.tolist()
    return found
