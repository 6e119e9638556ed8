"""The road of the lesson's appendix: encoder, classifier, schedules and optimizer put together by hand."""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from bertune.batches.sampler import steps_in_epoch
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.encoder import Encoder
from bertune.optim.adamw import AdamWeightDecay
from bertune.optim.create import create_optimizer, create_schedule
from bertune.optim.parameter_groups import decay_groups
from bertune.optim.schedule import PolynomialDecay, WarmUp
from bertune.optim.scheduled_adam import ScheduledAdam

SIZES = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
BATCH = {
    "input_word_ids": np.array([[2, 7, 3, 9, 3], [2, 8, 3, 0, 0]], np.int32),
    "input_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32),
    "input_type_ids": np.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]], np.int32),
}


def test_an_encoder_of_fields_computes_what_one_of_a_configuration_does() -> None:
    torch.manual_seed(0)
    by_fields = Encoder(**SIZES.to_dict()).eval()
    torch.manual_seed(0)
    by_configuration = Encoder.from_config(SIZES).eval()
    assert by_fields.config == SIZES
    one, other = by_fields(BATCH), by_configuration(BATCH)
    assert torch.equal(one.pooled, other.pooled)
    assert torch.equal(one.last_hidden_state, other.last_hidden_state)
    deeper = Encoder(**SIZES.to_dict() | {"num_hidden_layers": 3})
    assert len(deeper.layers) == 3


def test_a_classifier_by_hand_is_that_of_classifier_model() -> None:
    ready, _ = classifier_model(SIZES, 3, seed=5)
    torch.manual_seed(5)
    by_hand = Classifier(Encoder(**SIZES.to_dict()), num_labels=3)
    assert torch.equal(by_hand.eval()(BATCH), ready.eval()(BATCH))


def test_an_optimizer_by_hand_trains_like_that_of_create_optimizer() -> None:
    def trained(optimizer_of: object) -> list[torch.Tensor]:
        classifier, _ = classifier_model(SIZES, 2, seed=1)
        classifier.eval()  # no dropout, so that only the optimizers could differ
        optimizer = optimizer_of(classifier)  # type: ignore[operator]
        for _ in range(5):
            optimizer.zero_grad()
            cross_entropy(classifier(BATCH), torch.tensor([0, 1])).backward()
            optimizer.step()
        return [parameter.detach() for parameter in classifier.parameters()]

    def by_hand(classifier: Classifier) -> ScheduledAdam:
        schedule = WarmUp(1e-2, PolynomialDecay(1e-2, decay_steps=8, end_learning_rate=0), warmup_steps=2)
        return AdamWeightDecay(decay_groups(classifier, 0.01), learning_rate=schedule, epsilon=1e-6)

    first, _ = classifier_model(SIZES, 2, seed=1)
    one = trained(by_hand)
    other = trained(lambda classifier: create_optimizer(1e-2, 8, 2, model=classifier))
    assert all(torch.equal(mine, ready) for mine, ready in zip(one, other, strict=True))
    assert not any(torch.equal(mine, new) for mine, new in zip(one[:1], first.parameters(), strict=False))


def test_the_lessons_plan_ends_three_steps_early_and_ours_does_not() -> None:
    pairs, batch_size, epochs = 3668, 32, 3  # MRPC and the lesson's settings
    planned, warm_up = int(pairs / batch_size) * epochs, int(epochs * pairs * 0.1 / batch_size)
    taken = steps_in_epoch(pairs, batch_size) * epochs
    assert (planned, warm_up, taken) == (342, 34, 345)
    lesson, ours = create_schedule(2e-5, planned, warm_up), create_schedule(2e-5, taken, taken // 10)
    assert [step for step in range(1, taken) if lesson(step) == 0] == [342, 343, 344]
    assert [step for step in range(1, taken) if ours(step) == 0] == []
