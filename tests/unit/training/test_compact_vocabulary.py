"""A run trains the rows of its own tokens alone, and nobody can tell: neither weights nor who looks at them."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset
from torch import Tensor, nn

from bertune.batches.dataset import Dataset
from bertune.errors import ConfigError, DivergedError
from bertune.evaluation.logits import predict_logits
from bertune.models.classifier import Classifier
from bertune.optim.scheduled_adam import ScheduledAdam
from bertune.training import loop
from bertune.training.callback import Callback
from bertune.training.compact_vocabulary import CompactVocabulary
from bertune.training.config import TrainingConfig
from bertune.training.history import EpochResult, History
from bertune.training.loop import fit
from bertune.training.step import StepResult

pytestmark = pytest.mark.usefixtures("compiler")

# Ids from 40 on occur in no example of `make_dataset`.
STILL = replace(SIZES, vocab_size=60, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
CONFIG = TrainingConfig(
    recipe="lesson", epochs=4, batch_size=4, learning_rate=1e-3, weight_decay=0.3, precision="fp32", seed=3
)
ENGINES = {"": "fp32, compiled kernels", "kernels": "fp32, torch operators: compiled kernels are switched off"}


class Looker(Callback):
    """Looks at the classifier while it trains."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier, self.how = classifier, ""
        self.rows: set[int] = set()
        self.steps: list[Tensor] = []
        self.epochs: list[Tensor] = []

    def on_start(self, total_steps: int, steps_per_epoch: int, how: str) -> None:
        self.how = how
        assert len(self.table) == 60

    def on_step(self, result: StepResult) -> None:
        self.rows.add(len(self.table))
        if result.step in (0, 30, 99):
            self.steps.append(self.classifier.state_dict()["encoder.embeddings.token.weight"].clone())

    def on_epoch(self, result: EpochResult) -> None:
        self.epochs.append(self.table.detach().clone())

    @property
    def table(self) -> Tensor:
        return self.classifier.encoder.embeddings.token.weight


@pytest.fixture(scope="module")
def train() -> Dataset:
    return make_dataset(200, 1)


def trained(
    train: Dataset, monkeypatch: pytest.MonkeyPatch, engine: str, *, whole: bool, optimizer: str = "adamw"
) -> tuple[Classifier, History, Looker]:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    if whole:
        monkeypatch.setattr(loop, "CompactVocabulary", lambda classifier, _: CompactVocabulary(classifier, None))
    classifier = make_classifier(config=STILL)
    looker = Looker(classifier)
    history = fit(
        classifier, train, make_dataset(40, 2), config=replace(CONFIG, optimizer=optimizer), callbacks=[looker]
    )
    monkeypatch.undo()
    assert looker.how == ENGINES[engine]
    return classifier, history, looker


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_torch"])
@pytest.mark.parametrize("engine", ENGINES)
def test_two_hundred_steps_end_where_those_of_the_whole_table_do(
    train: Dataset, engine: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compact, history, looker = trained(train, monkeypatch, engine, whole=False, optimizer=optimizer)
    whole, expected, other = trained(train, monkeypatch, engine, whole=True, optimizer=optimizer)
    assert len(history.steps) == 200
    assert (looker.rows, other.rows) == ({len(np.unique(train.encoded.token_ids))}, {60})
    weights = whole.state_dict()
    for name, value in compact.state_dict().items():
        allowed = torch.full_like(value, 1e-6 * float(weights[name].abs().max()))
        if name.endswith("qkv.bias"):
            # Softmax takes out what the keys' bias adds to every score: its gradient is rounding, which Adam scales up.
            allowed[len(value) // 3 : 2 * len(value) // 3] *= 10
        assert bool(((value - weights[name]).abs() <= allowed).all()), name
    if engine == "":  # the same sums, in the same order
        assert [step.loss for step in history.steps] == [step.loss for step in expected.steps]
    # Whoever looks sees the whole table at any time.
    for mine, theirs in zip(looker.steps + looker.epochs, other.steps + other.epochs, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6 * float(theirs.abs().max()))
    assert len(looker.steps) == 3
    assert float((looker.epochs[-1][40:] / looker.epochs[0][40:] - 1).abs().min()) > 0.01  # they did decay


@pytest.mark.parametrize("engine", ENGINES)
def test_within_an_epoch_known_tokens_are_predicted_and_others_refused(
    train: Dataset, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    strange = Dataset(replace(train.encoded, token_ids=(train.encoded.token_ids % 20 + 40).astype(np.uint16)), None)
    found: list[np.ndarray] = []

    class Predicts(Looker):
        def on_step(self, result: StepResult) -> None:
            if result.step != 10:
                return
            self.classifier.eval()
            found.append(predict_logits(self.classifier, train))
            # As a program would that saved the weights and read them elsewhere.
            read = make_classifier(config=STILL)
            read.load_state_dict(copy.deepcopy(self.classifier.state_dict()))
            found.append(predict_logits(read.eval(), train))
            with pytest.raises(ConfigError, match="only the tokens of its training data"):
                predict_logits(self.classifier, strange)
            self.classifier.train()

    classifier = make_classifier(config=STILL)
    fit(classifier, train, config=replace(CONFIG, epochs=1), callbacks=[Predicts(classifier)])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.isfinite(predict_logits(classifier, strange)).all()


def test_what_is_changed_between_epochs_stays_changed(train: Dataset) -> None:
    class Doubles(Looker):
        def on_epoch(self, result: EpochResult) -> None:
            super().on_epoch(result)
            with torch.no_grad():
                self.table.mul_(2)

    still = replace(CONFIG, epochs=2, learning_rate=1e-30)
    classifier = make_classifier(config=STILL)
    before = classifier.encoder.embeddings.token.weight.detach().clone()
    fit(classifier, train, config=still, callbacks=[Doubles(classifier)])
    torch.testing.assert_close(classifier.encoder.embeddings.token.weight.detach(), 4 * before)


def test_the_optimizers_state_is_plain_at_every_step(train: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ScheduledAdam] = []
    real = loop.optimizer_of
    monkeypatch.setattr(loop, "optimizer_of", lambda *given: made.append(real(*given)) or made[-1])
    classifier, sizes = make_classifier(config=STILL), []

    class Reads(Looker):
        def on_step(self, result: StepResult) -> None:
            state = made[0].state[self.table]
            sizes.append((self.table.shape, state["m"].shape, state["v"].shape))
            assert float(state["v"].abs().max()) > 0

    fit(classifier, train, config=replace(CONFIG, epochs=1), callbacks=[Reads(classifier)])
    rows = len(np.unique(train.encoded.token_ids))
    assert set(sizes) == {((rows, 32), (rows, 32), (rows, 32))}


def _frozen(classifier: Classifier) -> None:
    classifier.encoder.embeddings.token.weight.requires_grad_(False)


def _hooked(classifier: Classifier) -> None:
    classifier.encoder.embeddings.token.weight.register_hook(lambda gradient: gradient)


def _tied(classifier: Classifier) -> None:
    classifier.generator = nn.Linear(32, 60)  # type: ignore[assignment]
    classifier.generator.weight = classifier.encoder.embeddings.token.weight  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [_frozen, _hooked, _tied])
def test_a_table_that_somebody_would_miss_stays(change: object, train: Dataset) -> None:
    classifier = make_classifier(config=STILL)
    table = classifier.encoder.embeddings.token.weight
    change(classifier)  # type: ignore[operator]
    with CompactVocabulary(classifier, train.encoded.token_ids).in_use():
        assert classifier.encoder.embeddings.token.weight is table


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_that_was_not_taken_decays_nothing(train: Dataset, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    for whole in (False, True):
        steps: list[int] = []

        def poisoned(gradient: Tensor, steps: list[int] = steps) -> Tensor:
            steps.append(len(steps))
            return gradient * float("inf") if len(steps) >= 8 else gradient

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BERTUNE_DISABLE", engine)
            if whole:
                patch.setattr(loop, "CompactVocabulary", lambda classifier, _: CompactVocabulary(classifier, None))
            classifier = make_classifier(config=STILL)
            classifier.classifier.weight.register_hook(poisoned)
            with pytest.raises(DivergedError, match="gradient norm at step 7"):
                fit(classifier, train, config=replace(CONFIG, warmup_fraction=0.0))
        tables.append(classifier.encoder.embeddings.token.weight.detach()[40:])
    torch.testing.assert_close(*tables, rtol=1e-6, atol=0)
    before = make_classifier(config=STILL).encoder.embeddings.token.weight.detach()[40:]
    assert float((tables[0] / before - 1).abs().min()) > 1e-3
