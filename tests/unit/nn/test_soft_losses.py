"""Losses against a distribution, beside plain formulas of torch."""

import math

import pytest
import torch
import torch.nn.functional as F

from bertune.data.task_kind import TaskKind
from bertune.nn.losses import loss_of, weight_of
from bertune.nn.soft_losses import soft_label_loss, soft_label_weight, teacher_divergence

WEIGHTS = torch.tensor([0.5, 2.0, 1.25])


def rows(count: int = 7, labels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(3)
    logits = torch.randn(count, labels, generator=source, dtype=torch.float64)
    return logits, torch.softmax(2 * torch.randn(count, labels, generator=source, dtype=torch.float64), dim=-1)


def test_the_loss_of_soft_labels_is_their_cross_entropy() -> None:
    logits, probabilities = rows()
    plain = -(probabilities * torch.log(torch.softmax(logits, dim=-1))).sum(dim=-1).mean()
    assert soft_label_loss(logits, probabilities).item() == pytest.approx(plain.item(), rel=1e-12)


def test_a_golden_row_of_soft_labels() -> None:
    loss = soft_label_loss(torch.tensor([[math.log(3), 0.0]]), torch.tensor([[0.75, 0.25]]))
    assert loss.item() == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), rel=1e-6)  # its entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
def test_soft_labels_that_are_certain_have_the_loss_of_the_label(
    smoothing: float, weights: torch.Tensor | None
) -> None:
    logits = rows()[0].float()
    ids = torch.tensor([0, 2, 1, 1, 0, 2, 2])
    hard = loss_of(logits, ids, kind=TaskKind.CLASSIFICATION, label_smoothing=smoothing, class_weights=weights)
    certain = F.one_hot(ids, 3).float()
    soft = soft_label_loss(logits, certain, label_smoothing=smoothing, class_weights=weights)
    assert soft.item() == pytest.approx(hard.item(), rel=1e-6)
    total = weight_of(ids, kind=TaskKind.CLASSIFICATION, class_weights=weights)
    assert float(soft_label_weight(certain, class_weights=weights)) == pytest.approx(float(total))


def test_the_parts_of_a_batch_of_soft_labels_add_up() -> None:
    logits, probabilities = (each.float() for each in rows())
    total = soft_label_weight(probabilities, class_weights=WEIGHTS)
    parts = [
        soft_label_loss(logits[part], probabilities[part], class_weights=WEIGHTS, total_weight=total)
        for part in (slice(0, 3), slice(3, 7))
    ]
    whole = soft_label_loss(logits, probabilities, class_weights=WEIGHTS)
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_distance_from_a_teacher_is_hintons(temperature: float) -> None:
    logits, _ = rows()
    teacher = rows()[1].log() * 3 + 1
    p, q = (torch.softmax(each / temperature, dim=-1) for each in (teacher, logits))
    plain = temperature**2 * (p * (p.log() - q.log())).sum()
    found = teacher_divergence(logits, teacher, kind=TaskKind.CLASSIFICATION, temperature=temperature)
    assert found.item() == pytest.approx(plain.item(), rel=1e-10)


def test_a_golden_row_of_a_teacher() -> None:
    # At T = 2 the teacher says 3/4 and 1/4, the student 1/2 and 1/2.
    teacher, student = torch.tensor([[2 * math.log(3), 0.0]]), torch.zeros(1, 2)
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    found = teacher_divergence(student, teacher, kind=TaskKind.CLASSIFICATION, temperature=2.0)
    assert found.item() == pytest.approx(4 * divergence, rel=1e-5)


def test_several_labels_are_taught_as_two_answers_to_each() -> None:
    logits, _ = rows()
    teacher = logits.flip(0) * 2
    p, q = torch.sigmoid(teacher / 3), torch.sigmoid(logits / 3)
    plain = 9 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum() / 3
    found = teacher_divergence(logits, teacher, kind=TaskKind.MULTI_LABEL, temperature=3.0)
    assert found.item() == pytest.approx(plain.item(), rel=1e-10)


def test_values_are_taught_by_the_squared_error() -> None:
    found = teacher_divergence(
        torch.tensor([[1.0], [4.0]]), torch.tensor([[3.0], [4.5]]), kind=TaskKind.REGRESSION, temperature=7.0
    )
    assert found.item() == pytest.approx(4.25)


def test_a_student_that_answers_as_its_teacher_is_at_no_distance_and_stays() -> None:
    logits, _ = rows()
    student = logits.clone().requires_grad_()
    for kind in TaskKind:
        given = logits[:, :1] if kind is TaskKind.REGRESSION else logits
        found = teacher_divergence(student[:, : given.shape[1]], given, kind=kind, temperature=2.0)
        (gradient,) = torch.autograd.grad(found, student)
        assert found.item() == pytest.approx(0, abs=1e-12)
        assert gradient.abs().max() < 1e-12


def test_the_gradients_are_those_of_finite_differences() -> None:
    logits, probabilities = rows()
    student, teacher = logits.clone().requires_grad_(), probabilities.log()
    weights = WEIGHTS.double()
    assert torch.autograd.gradcheck(
        lambda z: soft_label_loss(z, probabilities, label_smoothing=0.1, class_weights=weights), student
    )
    for kind in (TaskKind.CLASSIFICATION, TaskKind.MULTI_LABEL):
        assert torch.autograd.gradcheck(
            lambda z, k=kind: teacher_divergence(z, teacher, kind=k, temperature=2.5), student
        )
