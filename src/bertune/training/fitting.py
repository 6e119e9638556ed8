"""A training from wherever it stands to its end: steps, evaluations between them, and the best of these kept."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.sampler import batches_of, epoch_order, steps_in_epoch
from bertune.errors import DivergedError
from bertune.evaluation.scores import Scores
from bertune.nn.precision import name_of
from bertune.optim.scheduled_adam import ScheduledAdam
from bertune.system.process_group import ALONE, ProcessGroup
from bertune.training.batch_gradients import NoMemoryError, share_places
from bertune.training.callback import Callback
from bertune.training.engine import Engine, NativeEngine
from bertune.training.engine_choice import engine_for
from bertune.training.fitted_parts import FittedParts
from bertune.training.fitting_state import FittingState
from bertune.training.frozen_layers import FrozenLayers
from bertune.training.history import EpochResult, Evaluation, History
from bertune.training.keeper import Keeper
from bertune.training.plan import TrainingPlan
from bertune.training.same_weights import digest_of_tensors, refuse_differences
from bertune.training.step import (
    IF_DIVERGED,
    SkippedStep,
    StepPlace,
    StepResult,
    seed_draws,
    seed_of_step,
    take_step,
)

_MOST_NOT_APPLIED = 3


@dataclass
class Fitting:
    """A training that is going on.

    Args:
        parts: what is trained.
        plan: how.
        told: of each step, evaluation and epoch.
        keeper: asked at each boundary.
        history: so far.
        group: of the processes that train together.
    """

    parts: FittedParts
    plan: TrainingPlan
    told: Callback
    keeper: Keeper
    history: History = field(default_factory=History)
    group: ProcessGroup = ALONE

    def __post_init__(self) -> None:
        self._step = self._epoch = 0
        self._epoch_seconds = self._started = 0.0
        self._micro = self.plan.micro_batch_size or self.plan.batch_size
        self._not_applied: tuple[str, ...] = ()
        self._best_weights: dict[str, Tensor] | None = None
        self._per_epoch = steps_in_epoch(len(self.parts.train), self.plan.batch_size)
        self._steps = self.plan.steps(len(self.parts.train))

    def run(self) -> None:
        """Trains to the end, and leaves the classifier with the weights of its best evaluation."""
        earlier = self.keeper.earlier()
        if earlier is not None:
            self._micro = earlier.micro_batch_size or self._micro
        with self.parts.vocabulary.in_use():
            self._frozen = self._new_frozen()
            self._engine = self._new_engine()
        if earlier is not None:
            self._load(earlier)
        self._refuse_other_weights()
        classifier = self.parts.classifier
        self.history.engine = f"{name_of(classifier.encoder.compute_dtype)}, {self._engine.name}"
        if not self.group.is_alone:
            self.history.engine += f", {self.group.size} processes"
        self.told.on_start(self._steps, self._per_epoch, self.history.engine)
        while self._epoch < self.plan.epochs and not self.history.stopped_early:
            self._train_epoch()
            self._end_epoch()
        if self._best_weights is not None and not self.history.evaluations[-1].is_best:
            self.parts.put_back(self._best_weights)

    def state(self) -> FittingState:
        """Returns the state at this boundary; its tensors are those that train, but for the token table."""
        parts, updates = self.parts, self.parts.updates
        assert isinstance(updates, ScheduledAdam), "only runs of a settings file are kept, which bring no optimizer"
        names = {id(parameter): name for name, parameter in parts.trained().items()}
        is_evaluated = self._evaluation_here() is not None
        return FittingState(
            step=self._step,
            epoch=self._epoch,
            is_evaluated=is_evaluated,
            epoch_seconds=self._epoch_seconds,
            micro_batch_size=self._micro,
            not_applied=self._not_applied,
            settled=parts.vocabulary.settled,
            weights=parts.tensors(),
            moments={names[id(parameter)]: pair for parameter, pair in updates.known_moments().items()},
            step_count=updates.step_count,
            # Within an epoch `weights` is not quite what was scored: some rows of the token table await their decay.
            best_weights=None if self._is_at_best() and self._is_between_epochs() else self._best_weights,
            history=self.history,
            dynamics=None if parts.dynamics is None else parts.dynamics.state(),
        )

    def _evaluation_here(self) -> Evaluation | None:
        """The evaluation of the weights as they are after this step; None where it has not been made."""
        made = self.history.evaluations
        return made[-1] if made and made[-1].step == self._step else None

    def _is_at_best(self) -> bool:
        """Whether the weights are those of the best evaluation: it has just been made."""
        here = self._evaluation_here()
        return here is not None and here.is_best

    def _is_between_epochs(self) -> bool:
        return self._step % self._per_epoch == 0

    def _load(self, state: FittingState) -> None:
        parts, updates = self.parts, self.parts.updates
        assert isinstance(updates, ScheduledAdam)
        self._step, self._epoch, self._epoch_seconds = state.step, state.epoch, state.epoch_seconds
        self._not_applied = state.not_applied
        parts.vocabulary.load(state.weights, state.settled)
        if parts.adapters is not None:
            parts.adapters.load(state.weights)
        state.weights.clear()  # they were copied, and whoever holds the state holds it to the run's end
        trained = parts.trained()
        updates.take_up(state.step_count, {trained[name]: pair for name, pair in state.moments.items()})
        if isinstance(self._engine, NativeEngine):
            self._engine.native.refresh_bf16_copies()
        self.history.steps += state.history.steps
        self.history.epochs += state.history.epochs
        self.history.evaluations += state.history.evaluations
        self.history.stopped_early = state.history.stopped_early
        if parts.dynamics is not None and state.dynamics is not None:
            parts.dynamics.load(state.dynamics)
        self._best_weights = state.best_weights
        if self._best_weights is None and self._is_at_best():
            self._keep_weights()

    def _keep_weights(self) -> None:
        """Copies the weights of the best evaluation, where a later one may not be better."""
        is_last = self._step == self._steps or self.parts.validation is None
        self._best_weights = None if is_last else self.parts.copies()

    def _new_engine(self) -> Engine:
        in_parts = self.plan.in_parts or self._micro < self.plan.batch_size
        return engine_for(
            self.parts.classifier,
            self.parts.updates,
            in_parts=in_parts,
            group=self.group,
            frozen=self._frozen,
            adapters=self.parts.adapters,
        )

    def _new_frozen(self) -> FrozenLayers | None:
        count = self.plan.frozen_layers
        if count is None:
            return None
        # Of several processes each would compute the rows of all others too.
        keeps = self.plan.epochs > 1 and self.group.is_alone
        return FrozenLayers(self.parts.classifier, count, self.parts.train.encoded, keeps=keeps)

    def _refuse_other_weights(self) -> None:
        """Refuses to go on where a process has other weights than the first."""
        if not self.group.is_alone:
            digests = self.group.gather(digest_of_tensors(self.parts.tensors()))
            self.group.in_turn(lambda: refuse_differences(digests, f"after step {self._step:,}"))

    def _train_epoch(self) -> None:
        """Takes the steps of an epoch that are left, and makes the evaluations between them."""
        self._begin_steps()
        with self.parts.vocabulary.in_use():
            self._evaluate_where_due()  # where a run was interrupted before that
            for indices in self._batches_left():
                if self.history.stopped_early or self._step == self._steps:
                    break
                with self.keeper.saving_losses(self.state):
                    self._take_step(indices)
                    self._epoch_seconds = time.perf_counter() - self._started
                    self.keeper.after_step(self._step, self.state)
                self._evaluate_where_due()

    def _begin_steps(self) -> None:
        """Makes ready for steps, of which alone the time is taken."""
        self.parts.classifier.train()
        self._started = time.perf_counter() - self._epoch_seconds

    def _batches_left(self) -> Iterator[NDArray[np.int64]]:
        order = epoch_order(len(self.parts.train), seed=self.plan.seed, epoch=self._epoch)
        return batches_of(order, self.plan.batch_size, first=self._step - self._epoch * self._per_epoch)

    def _take_step(self, indices: NDArray[np.int64]) -> None:
        place = StepPlace(self._step, self._epoch + 1, self.parts.updates.learning_rate_at(self._step))
        try:
            result = self._in_parts_that_fit(indices, place)
        except DivergedError as error:
            self._skip(indices, error)
            return
        self._step += 1
        self._not_applied = ()
        self.history.steps.append(result)
        self.told.on_step(result)

    def _in_parts_that_fit(self, indices: NDArray[np.int64], place: StepPlace) -> StepResult:
        """Takes a step; where memory ends, once more with half as many examples at a time, and so from then on."""
        while True:
            seed_draws(self._engine.device, seed_of_step(self.plan.seed, place.step, self.group.rank))
            try:
                return take_step(
                    self._engine,
                    self.parts.objective,
                    self.parts.train,
                    indices,
                    place=place,
                    micro_batch_size=self._micro,
                    dynamics=self.parts.dynamics,
                )
            except NoMemoryError:
                if self._micro == 1:
                    raise
            # Outside of the handler: its traceback holds what fills the memory.
            most = max(map(len, share_places(self.group, self.parts.train, indices)))
            self._micro = -(-min(self._micro, most) // 2)
            self._engine = self._new_engine()
            self.told.on_smaller_parts(place.step, self._micro)

    def _skip(self, indices: NDArray[np.int64], error: DivergedError) -> None:
        """Leaves a step out whose loss or gradient is not finite; three in a row end the run."""
        updates = self.parts.updates
        if isinstance(updates, ScheduledAdam):
            if updates.step_count == self._step:  # it was the loss, so that the optimizer does not know of the step
                updates.begin_step(math.nan)
            self.parts.vocabulary.skip_step()
        self._not_applied = (*self._not_applied, error.message)
        count = len(self._not_applied)
        rows = tuple(indices.tolist())
        reason = error.message.removeprefix("training diverged: ")
        self.told.on_skipped_step(SkippedStep(self._step, self._epoch + 1, reason, rows, count))
        self._step += 1
        if count == _MOST_NOT_APPLIED:
            first = self._not_applied[0]
            raise DivergedError(f"{first}, and the two steps after it were not finite either", hint=error.hint)

    def _evaluate_where_due(self) -> None:
        """Evaluates within an epoch where `evaluate_every` says so, unless no step was applied since the last time."""
        every = self.plan.evaluate_every
        if every is None or self._step % every or self._is_between_epochs() or not self._steps_since_evaluation():
            return
        with ExitStack() as whole_table:
            whole_table.enter_context(self.parts.vocabulary.shown_whole())
            self._evaluate(whole_table)
        self._begin_steps()
        if not self.history.stopped_early:  # else the epoch ends here
            self.keeper.after_evaluation(self._step, self.state)

    def _evaluate(self, whole_table: ExitStack) -> Evaluation:
        """Scores the validation rows, keeps the weights where they are the best so far, and tells of it.

        Args:
            whole_table: closed before the state is taken, which it is no part of.
        """
        parts, scores, logits = self.parts, None, None
        if parts.validation is not None:

            def state() -> FittingState:
                whole_table.close()
                return self.state()

            with self.keeper.evaluating(self._step, state):
                scores, logits = parts.objective.score(
                    parts.classifier, parts.validation, parts.train.known_targets, self.group
                )
        result = self._evaluation(scores, logits)
        self.history.add(result)
        if result.is_best:
            self._keep_weights()
            self.told.on_best(result)
        self.told.on_evaluation(replace(result, logits=logits))
        self.history.stopped_early = self.history.is_out_of_patience(self.plan.patience)
        return result

    def _evaluation(self, scores: Scores | None, logits: NDArray[np.float32] | None) -> Evaluation:
        made, per_epoch = self.history.evaluations, self._per_epoch
        steps = self._steps_since_evaluation()
        seconds = self._epoch_seconds - sum(each.train_seconds for each in made if each.step > self._epoch * per_epoch)
        is_best = scores is None or all(scores.rank > each.scores.rank for each in made if each.scores is not None)
        return Evaluation(
            step=self._step,
            epoch=self._step // per_epoch if self._is_between_epochs() else self._step / per_epoch,
            train_loss=_mean_loss(steps or self._steps_of_epoch()),
            train_seconds=seconds,
            examples_per_second=sum(step.examples for step in steps) / seconds,
            scores=scores,
            is_best=is_best,
            logits=logits if is_best else None,
        )

    def _steps_since_evaluation(self) -> list[StepResult]:
        """The steps that were applied since the last evaluation."""
        made = self.history.evaluations
        last = made[-1].step if made else 0
        return list(takewhile(lambda step: step.step >= last, reversed(self.history.steps)))[::-1]

    def _steps_of_epoch(self) -> list[StepResult]:
        """The steps of the epoch that is going on."""
        return [step for step in self.history.steps[-self._per_epoch :] if step.epoch == self._epoch + 1]

    def _end_epoch(self) -> None:
        """Evaluates at the end of an epoch, where that has not ended the run just now, and tells of the epoch."""
        epoch, steps = self._epoch + 1, self._steps_of_epoch()
        if not steps:
            told = f"{self._not_applied[-1]}, and no step of epoch {epoch} could be applied"
            raise DivergedError(told, hint=IF_DIVERGED)
        self._refuse_other_weights()
        evaluation = self._evaluation_here() or self._evaluate(ExitStack())
        if self.parts.dynamics is not None:
            self.parts.dynamics.end_epoch()
        result = EpochResult(
            epoch,
            _mean_loss(steps),
            self._epoch_seconds,
            sum(step.examples for step in steps) / self._epoch_seconds,
            evaluation.scores,
            evaluation.is_best,
            evaluation.logits,
        )
        self.history.epochs.append(result)
        self._epoch, self._epoch_seconds = epoch, 0.0
        self.told.on_epoch(result)  # after the model is kept: a callback may end the run here
        self.keeper.after_evaluation(self._step, self.state)


def _mean_loss(steps: Sequence[StepResult]) -> float:
    """Returns the mean over the examples of some steps."""
    return sum(step.loss * step.examples for step in steps) / sum(step.examples for step in steps)
