"""The advice on a run, from what was prepared and what it came to."""

from typing import Final

import numpy as np

from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.answers import decisions
from bertune.evaluation.frozen_probe import probe
from bertune.evaluation.regression_baseline import BaselineComparison, FeatureKind, RegressionBaseline
from bertune.evaluation.saved_scores import SavedRegression
from bertune.evaluation.score_parts import Scoring
from bertune.evaluation.tf_idf_baseline import tf_idf_baseline
from bertune.nn.precision import choose_precision
from bertune.training.advice import Advice, Outcome, SettingsInUse, advise
from bertune.training.class_weights import class_weights_of
from bertune.training.config import TrainingConfig
from bertune.training.history import Evaluation, History
from bertune.training.loss_bounds import LossBounds, loss_bounds, soft_label_bounds
from bertune.training.objective import Objective
from bertune.training.plan import plan_of
from bertune.training.prepare import PreparedRun

_SAVED_AS: Final[dict[FeatureKind, str]] = {"frozen features": "frozen_features", "TF-IDF": "tf_idf"}


def baselines_of(run: PreparedRun) -> tuple[RegressionBaseline, ...]:
    """Fits the regressions that the run is held against, with the encoder as it is: before training.

    Returns:
        Those on frozen features and on TF-IDF; none without validation data, where the run skips them, or where there
        is nothing to fit.
    """
    if run.validation is None or run.settings.skip_probe:
        return ()
    objective = Objective.of(run.signature)
    train = objective.checked(run.train.labelled(), "train", run.classifier)
    validation = objective.checked(run.validation, "validation", run.classifier)
    scoring = Scoring(
        objective.kind,
        objective.metrics,
        objective.names_of(run.classifier) if objective.kind.has_labels else None,
    )
    frozen = probe(
        run.classifier.encoder,
        train,
        validation,
        scoring,
        epochs=run.config.epochs,
        precision=choose_precision(run.config.precision, run.classifier.device),
        target_range=objective.target_range,
    )
    of_terms = tf_idf_baseline(train, validation, scoring, target_range=objective.target_range)
    return tuple(found for found in (frozen, of_terms) if found is not None)


def beside_baselines(
    baselines: tuple[RegressionBaseline, ...], best: Evaluation, signature: ModelSignature
) -> tuple[BaselineComparison, ...]:
    """Compares the model that is kept, by its temperature and thresholds, with each regression."""
    if best.logits is None:
        return ()
    answers = decisions(best.logits, signature)
    return tuple(baseline.beside(answers) for baseline in baselines)


def saved_baselines(
    baselines: tuple[RegressionBaseline, ...], beside: tuple[BaselineComparison, ...]
) -> dict[str, SavedRegression]:
    """Returns what `RunScores` holds of the regressions, by its names.

    Args:
        baselines: from `baselines_of`.
        beside: from `beside_baselines`: one of each, or none.
    """
    compared = {each.features: each for each in beside}
    return {_SAVED_AS[each.features]: each.saved(compared.get(each.features)) for each in baselines}


def advice_on(
    run: PreparedRun, history: History, best: Evaluation, beside: tuple[BaselineComparison, ...]
) -> tuple[Advice, ...]:
    """Returns what to try instead of a run's settings; nothing where it has learned.

    Args:
        run: as it was prepared.
        history: of its training.
        best: the evaluation whose model is kept.
        beside: the model beside each regression.
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
        beside=beside,
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
