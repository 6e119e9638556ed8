"""What packing must hold for any lengths: no token lost, moved, or seen by a neighbour."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bertune.batches.batch import pack
from bertune.batches.layout import Layout
from bertune.batches.sampler import batches_by_tokens, epoch_order
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.nn.attention import SelfAttention, _FromCells, _ToCells
from bertune.tokenization.encode_texts import EncodedExamples, pad

LENGTHS = st.lists(st.integers(1, 24), min_size=1, max_size=12)
SIZES = BertConfig(
    vocab_size=60,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=512,
    initializer_range=0.2,
)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return classifier_model(SIZES, 3)[0].eval()


def random_examples(lengths: list[int], seed: int = 0) -> EncodedExamples:
    draw = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return EncodedExamples(
        token_ids=draw.integers(1, SIZES.vocab_size, offsets[-1]).astype(np.int32),
        offsets=offsets,
        first_lengths=draw.integers(0, np.array(lengths) + 1).astype(np.int32),
        truncated=np.zeros(len(lengths), bool),
        max_length=512,
    )


@given(LENGTHS)
def test_every_token_has_exactly_one_cell_in_its_own_row(lengths: list[int]) -> None:
    layout = Layout(np.array(lengths))
    plan = layout.attention_plan
    cells = plan.cell_of_token.numpy()
    assert len(set(cells.tolist())) == layout.num_tokens
    assert np.array_equal(plan.token_of_cell.numpy()[cells], np.arange(layout.num_tokens))
    sequence_of_row: list[int] = []
    real_cells = 0
    for group in plan.groups:
        tokens = plan.token_of_cell[group.start : group.start + group.cells].view(group.sequences, group.max_length)
        attend = torch.ones_like(tokens, dtype=torch.bool) if group.attend is None else group.attend
        real_cells += int(attend.sum())
        for row, real in zip(tokens, attend, strict=True):
            owners = layout.sequence_of_token[row[real]].unique()
            assert len(owners) == 1, "a row of attention mixes sequences"
            assert torch.equal(row[real], row[real].sort().values), "the order of tokens changed"
            assert not real[int(real.sum()) :].any(), "padding lies before a token"
            sequence_of_row.append(int(owners))
    assert real_cells == layout.num_tokens
    assert sorted(sequence_of_row) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 40))
def test_batches_by_tokens_take_each_example_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(batches_by_tokens(np.array(lengths), budget))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        padded_tokens = len(batch) * max(lengths[index] for index in batch)
        assert padded_tokens <= budget or len(batch) == 1


@given(st.integers(0, 300), st.integers(0, 2**32), st.integers(0, 100))
def test_an_epoch_has_each_example_once(examples: int, seed: int, epoch: int) -> None:
    order = epoch_order(examples, seed=seed, epoch=epoch)
    assert np.array_equal(np.sort(order), np.arange(examples))
    assert np.array_equal(order, epoch_order(examples, seed=seed, epoch=epoch))


def _through_cells(packed: Tensor, layout: Layout, *, own: bool) -> Tensor:
    """Gather, something non-linear that ignores padding, and the gather back."""
    plan = layout.attention_plan
    if own:
        cells = _ToCells.apply(packed, plan.token_of_cell, plan.cell_of_token)
    else:
        cells = packed.index_select(0, plan.token_of_cell)
    mixed = []
    for group, rows in zip(plan.groups, torch.split(cells, [group.cells for group in plan.groups]), strict=True):
        table = rows.view(group.sequences, group.max_length, -1)
        if group.attend is not None:
            table = table * group.attend[:, :, None]
        mixed.append((torch.tanh(table) * table.sum(dim=1, keepdim=True)).reshape(group.cells, -1))
    joined = torch.cat(mixed)
    back: Tensor = _FromCells.apply(joined, plan.cell_of_token) if own else joined.index_select(0, plan.cell_of_token)
    return back


@given(LENGTHS)
def test_the_gathers_have_the_gradient_of_plain_index_select(lengths: list[int]) -> None:
    layout = Layout(np.array(lengths))
    packed = torch.randn(layout.num_tokens, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(layout.num_tokens, 3, dtype=torch.float64)
    gradients = [
        torch.autograd.grad((_through_cells(packed, layout, own=own) * weights).sum(), packed)[0]
        for own in (True, False)
    ]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-12)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=10)
def test_attention_passes_gradcheck(lengths: list[int]) -> None:
    layout = Layout(np.array(lengths))
    attention = SelfAttention(4, 2, dropout=0.0).double()
    packed = torch.randn(layout.num_tokens, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda hidden: attention(hidden, layout), packed)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
@settings(max_examples=25)
def test_logits_depend_neither_on_neighbours_nor_on_order(classifier: Classifier, lengths: list[int]) -> None:
    encoded = random_examples(lengths)
    order = np.random.default_rng(len(lengths)).permutation(len(lengths))
    with torch.inference_mode():
        together = classifier(pack(encoded))
        shuffled = classifier(pack(encoded, order))
        alone = torch.cat([classifier(pack(encoded, np.array([index]))) for index in range(len(lengths))])
    torch.testing.assert_close(shuffled, together[order], rtol=0, atol=1e-5)
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


@pytest.mark.parametrize("lengths", [[length] for length in (1, 2, 3, 63, 64, 65, 511, 512)], ids=str)
def test_padded_and_packed_give_equal_logits_at_batch_1(classifier: Classifier, lengths: list[int]) -> None:
    assert _padded_against_packed(classifier, lengths) <= 1e-5


@pytest.mark.parametrize("most", [16, 512])
def test_padded_and_packed_give_equal_logits_at_batch_64(classifier: Classifier, most: int) -> None:
    lengths = [1, most, *np.random.default_rng(most).integers(1, most + 1, 62).tolist()]
    assert _padded_against_packed(classifier, lengths) <= 1e-5


def _padded_against_packed(classifier: Classifier, lengths: list[int]) -> float:
    """The largest difference to a plain padded computation: every cell is computed, padding is masked with -inf."""
    encoded = random_examples(lengths)
    arrays = {name: torch.from_numpy(array).long() for name, array in pad(encoded).items()}
    with torch.inference_mode():
        packed = classifier(pack(encoded))
        lesson = classifier(arrays)
        rectangle = _plain_padded_logits(classifier, arrays)
    assert torch.equal(lesson, packed), "the lesson's arrays and a packed batch are computed alike"
    return float((packed - rectangle).abs().max())


def _plain_padded_logits(classifier: Classifier, arrays: dict[str, Tensor]) -> Tensor:
    encoder = classifier.encoder
    ids, mask, types = (arrays[name] for name in ("input_word_ids", "input_mask", "input_type_ids"))
    rows, columns = ids.shape
    tables = encoder.embeddings
    states = tables.norm(tables.token(ids) + tables.position(torch.arange(columns)) + tables.token_type(types))
    for layer in encoder.layers:
        heads = layer.attention.num_heads
        qkv = F.linear(states, layer.attention.qkv.weight, layer.attention.qkv.bias)
        query, key, value = (part.view(rows, columns, heads, -1).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(mask[:, None, None, :] == 0, -torch.inf)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(rows, columns, -1)
        states = layer.attention_norm(states + layer.attention.output(mixed))
        states = layer.output_norm(states + layer.feed_forward(states))
    pooled = torch.tanh(encoder.pooler.dense(states[:, 0]))  # type: ignore[union-attr]
    return classifier.classifier(pooled)


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5).filter(any), min_size=1, max_size=5))
@settings(max_examples=25)
def test_hidden_cells_change_nothing_whatever_they_hold(classifier: Classifier, holes: list[list[bool]]) -> None:
    mask = np.array(holes).astype(np.int64)
    draw = np.random.default_rng(1)
    arrays = {
        "input_word_ids": draw.integers(0, 60, mask.shape),
        "input_mask": mask,
        "input_type_ids": draw.integers(0, 2, mask.shape),
    }
    garbage = np.where(mask == 1, arrays["input_word_ids"], 999_999)
    with torch.inference_mode():
        clean, dirty = classifier(arrays), classifier(arrays | {"input_word_ids": garbage})
        hidden = classifier.encoder(arrays).last_hidden_state
    assert torch.equal(clean, dirty)
    assert hidden.shape == (*mask.shape, SIZES.hidden_size)
    assert torch.equal(hidden.abs().sum(-1) > 0, torch.from_numpy(mask) == 1)
