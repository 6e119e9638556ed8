"""Every family beside transformers: hidden states, logits, gradients of one step, and folders both ways."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from tests.unit.kernels.encoder_worlds import gradients_of
from torch import Tensor, nn
from transformers import PreTrainedModel

from bertune.batches.batch import Batch, pack
from bertune.batches.dataset import Dataset
from bertune.checkpoints.model_folder import load, save
from bertune.checkpoints.restore import restore
from bertune.checkpoints.signature import ModelSignature
from bertune.data.task_kind import TaskKind
from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import KernelPass
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.registry import FAMILIES, read_config
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.tokenizer import BertTokenizer

LABELS = 3
SHORT = (5, 64, 17, 2, 40, 33, 1)
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
BODY = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64, **STILL}
# Windows of 8 tokens, so that sequences shorter and longer than one, than three blocks and than many are there.
MODERN = {
    "hidden_size": 32,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "local_attention": 8,
    "pad_token_id": 0,
}
BIASES = dict.fromkeys(("attention_bias", "mlp_bias", "norm_bias", "classifier_bias"), True)
# Of DeBERTa, which has no positions but distances.
VERSION_3 = {
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": "p2c|c2p",
    "share_att_key": True,
    "type_vocab_size": 0,
}
SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "BERT": ("Bert", {**BODY, "max_position_embeddings": 64}),
    "BERT, one type": (
        "Bert",
        {**BODY, "max_position_embeddings": 64, "type_vocab_size": 1, "hidden_act": "gelu_fast"},
    ),
    "RoBERTa": ("Roberta", {**BODY, "max_position_embeddings": 66, "type_vocab_size": 1}),
    "XLM-RoBERTa": ("XLMRoberta", {**BODY, "max_position_embeddings": 66, "type_vocab_size": 1}),
    "CamemBERT": ("Camembert", {**BODY, "max_position_embeddings": 66, "type_vocab_size": 1}),
    "DistilBERT": (
        "DistilBert",
        {
            "dim": 32,
            "n_layers": 3,
            "n_heads": 2,
            "hidden_dim": 64,
            "max_position_embeddings": 64,
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "seq_classif_dropout": 0.0,
        },
    ),
    "ELECTRA": ("Electra", {**BODY, "embedding_size": 32, "max_position_embeddings": 64}),
    "DeBERTa-v2, of version 3": (
        "DebertaV2",
        {**BODY, **VERSION_3, "position_buckets": 16, "norm_rel_ebd": "layer_norm", "max_position_embeddings": 64},
    ),
    "DeBERTa-v2, beyond its buckets": (
        "DebertaV2",
        {**BODY, **VERSION_3, "position_buckets": 16, "max_relative_positions": 64, "max_position_embeddings": 256},
    ),
    "DeBERTa-v2, beyond its distances": (
        "DebertaV2",
        {**BODY, **VERSION_3, "max_relative_positions": 64, "max_position_embeddings": 256},
    ),
    "DeBERTa-v2, own products": (
        "DebertaV2",
        {
            **BODY,
            **VERSION_3,
            "share_att_key": False,
            "position_biased_input": True,
            "type_vocab_size": 2,
            "max_position_embeddings": 64,
            "pooler_hidden_act": "tanh",
        },
    ),
    "DeBERTa-v2, content to position": (
        "DebertaV2",
        {**BODY, **VERSION_3, "share_att_key": False, "pos_att_type": ["c2p"], "max_position_embeddings": 64},
    ),
    "DeBERTa-v2, position to content": (
        "DebertaV2",
        {**BODY, **VERSION_3, "pos_att_type": "p2c", "position_buckets": 24, "max_position_embeddings": 64},
    ),
    "ELECTRA, small": (
        "Electra",
        {**BODY, "hidden_size": 64, "embedding_size": 32, "max_position_embeddings": 64},
    ),
    "MPNet": ("MPNet", {**BODY, "max_position_embeddings": 66}),
    "MPNet, far apart": ("MPNet", {**BODY, "num_attention_heads": 4, "max_position_embeddings": 514}),
    "ALBERT": (
        "Albert",
        {
            **BODY,
            "hidden_size": 64,
            "embedding_size": 32,
            "max_position_embeddings": 64,
            "classifier_dropout_prob": 0.0,
        },
    ),
    "ALBERT, as wide": (
        "Albert",
        {**BODY, "embedding_size": 32, "max_position_embeddings": 64, "classifier_dropout_prob": 0.0},
    ),
    "ModernBERT": ("ModernBert", MODERN),
    "ModernBERT, mean pooling": ("ModernBert", {**MODERN, "classifier_pooling": "mean"}),
    "ModernBERT, biases": ("ModernBert", {**MODERN, **BIASES, "classifier_activation": "relu"}),
    "ModernBERT, odd window": ("ModernBert", {**MODERN, "local_attention": 31, "num_hidden_layers": 4}),
    "ModernBERT, wide window": ("ModernBert", {**MODERN, "local_attention": 128, "global_attn_every_n_layers": 2}),
    "ModernBERT, listed layers": (
        "ModernBert",
        {
            **MODERN,
            "layer_types": ["sliding_attention", "full_attention", *["sliding_attention"] * 3],
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 500.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 40.0},
            },
        },
    ),
}


@dataclass(frozen=True)
class Pair:
    """The same weights in both.

    Args:
        theirs: of transformers, in evaluation mode.
        ours: restored from what transformers saved.
        folder: that holds it.
    """

    theirs: PreTrainedModel
    ours: Classifier
    folder: Path


@pytest.fixture(scope="module", params=SIZES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    name, values = SIZES[request.param]
    config = getattr(transformers, f"{name}Config")(vocab_size=200, num_labels=LABELS, **values)
    torch.manual_seed(5)
    theirs = getattr(transformers, f"{name}ForSequenceClassification")(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # norms and biases that are not 1 and 0
            parameter.add_(torch.randn_like(parameter) * 0.1)
    folder = tmp_path_factory.mktemp("theirs")
    theirs.save_pretrained(folder)
    sizes = read_config(folder / "config.json")
    ours, encoder = classifier_model(sizes, LABELS, pooling=sizes.pooling, seed=1)
    receipt = restore(encoder, folder).assert_consumed()
    assert encoder.family.name == request.param.partition(",")[0]
    assert len(receipt.having("loaded")) + len(receipt.having("new")) == len(list(encoder.parameters()))
    names = encoder.family.head_names
    stored = dict(theirs.named_parameters())
    with torch.no_grad():
        for own, (of_theirs,) in names.rows.items():
            if of_theirs not in stored:
                continue  # a bias that the configuration does not have
            ours.get_parameter(own).copy_(stored[of_theirs])
    return Pair(theirs, ours.eval(), folder)


def lengths_of(pair: Pair) -> tuple[int, ...]:
    """As long as the encoder has positions; most have 64."""
    return SHORT if pair.ours.encoder.config.max_positions < 200 else (*SHORT, 200, 130)


def texts(pair: Pair) -> tuple[Dataset, dict[str, Tensor]]:
    """Random ids of many lengths, for both."""
    config = pair.ours.encoder.config
    lengths, longest = lengths_of(pair), max(lengths_of(pair))
    source = np.random.default_rng(2)
    rows = [source.integers(5, 200, length) for length in lengths]
    first = [length if config.type_vocab_size < 2 else 1 + length // 2 for length in lengths]
    padded = {name: torch.zeros(len(rows), longest, dtype=torch.long) for name in ("ids", "mask", "types")}
    padded["ids"][:] = config.pad_token_id
    for at, ids in enumerate(rows):
        padded["ids"][at, : len(ids)] = torch.from_numpy(ids)
        padded["mask"][at, : len(ids)] = 1
        padded["types"][at, first[at] : len(ids)] = 1
    given = {"input_ids": padded["ids"], "attention_mask": padded["mask"]}
    if config.type_vocab_size > 1:
        given["token_type_ids"] = padded["types"]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = np.concatenate(rows).astype(np.int32)
    encoded = EncodedExamples(flat, offsets, np.array(first, np.int32), np.zeros(len(rows), np.bool_), longest)
    return Dataset(encoded, np.arange(len(rows)) % LABELS), given


def packed(data: Dataset) -> Batch:
    return pack(data.encoded, np.arange(len(data)))


def by_name(classifier: Classifier, of_theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of transformers by our names; parts of one parameter are joined."""
    family = classifier.encoder.family
    found: dict[str, Tensor] = {}
    for name, _ in classifier.named_parameters():
        inner = name.removeprefix("encoder.")
        if name in family.head_names.rows:
            found[name] = of_theirs[family.head_names.rows[name][0]]
        elif family.names.has(inner):
            found[name] = torch.cat([of_theirs[family.prefix + part] for part in family.names.stored_names(inner)])
    return found


def test_there_is_a_model_of_every_family() -> None:
    assert {name.partition(",")[0] for name in SIZES} == {family.name for family in FAMILIES}


def test_hidden_states_and_logits_are_those_of_transformers(pair: Pair) -> None:
    data, given = texts(pair)
    with torch.no_grad():
        body = pair.theirs.base_model(**given).last_hidden_state
        theirs = pair.theirs(**given)
        hidden = pair.ours.encoder.encode(packed(data))
        logits = pair.ours(packed(data))
    expected = torch.cat([row[:length] for row, length in zip(body, lengths_of(pair), strict=True)])
    assert float((hidden - expected).abs().max()) < 1e-5
    assert float((logits - theirs.logits).abs().max()) < 1e-5


def kernels_of(classifier: Classifier) -> KernelPass | None:
    try:
        return KernelPass(classifier.encoder, torch.float32)
    except NoKernelsError:
        return None


LEFT_TO_TORCH = (
    "DeBERTa-v2, own products",
    "DeBERTa-v2, content to position",  # whose products are its own, too
    # Their vectors of distances have no norm.
    "DeBERTa-v2, beyond its buckets",
    "DeBERTa-v2, beyond its distances",
    "DeBERTa-v2, position to content",
    "MPNet, far apart",  # heads of 8
)


def test_the_kernels_compute_every_family_but_those_that_say_why_not(
    pair: Pair, request: pytest.FixtureRequest
) -> None:
    kernels = kernels_of(pair.ours)
    assert (kernels is None) == request.node.callspec.params["pair"].startswith(LEFT_TO_TORCH)
    if kernels is None:
        return
    data, given = texts(pair)
    with torch.no_grad():
        hidden = kernels.forward(packed(data), first_only=pair.ours.first_only, keep=False)
        logits = pair.ours.logits_of(hidden, packed(data).layout)
        assert float((logits - pair.theirs(**given).logits).abs().max()) < 1e-5


@pytest.mark.parametrize("engine", ["kernels", "torch"])
def test_the_gradients_of_a_step_are_those_of_transformers(pair: Pair, engine: str) -> None:
    data, given = texts(pair)
    assert data.targets is not None
    targets = torch.from_numpy(data.targets)
    pair.theirs.zero_grad()
    loss = pair.theirs(**given, labels=targets).loss
    loss.backward()
    expected = by_name(pair.ours, {name: _grad(value) for name, value in pair.theirs.named_parameters()})
    pair.ours.zero_grad()
    kernels = kernels_of(pair.ours) if engine == "kernels" else None
    if engine == "kernels" and kernels is None:
        return
    batch = packed(data)
    found: dict[str, Tensor] = {}
    if kernels is None:
        own = F.cross_entropy(pair.ours(batch), targets)
        own.backward()
    else:
        kernels.prepare_gradients()
        hidden = kernels.forward(batch, first_only=pair.ours.first_only, keep=True).clone().requires_grad_()
        own = F.cross_entropy(pair.ours.logits_of(hidden, batch.layout), targets)
        own.backward()
        assert hidden.grad is not None
        kernels.backward(hidden.grad)
        found = {f"encoder.{name}": value for name, value in gradients_of(kernels).items()}
    found |= {name: _grad(value) for name, value in pair.ours.named_parameters() if value.grad is not None}
    assert own.item() == pytest.approx(loss.item(), rel=1e-5)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        assert float((found[name] - gradient).abs().max()) <= 1e-4 * scale + 1e-7, name


def _grad(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@pytest.mark.parametrize("kind", list(TaskKind))
def test_a_folder_of_ours_is_the_familys_own_class_in_transformers(pair: Pair, kind: TaskKind, tmp_path: Path) -> None:
    config = pair.ours.encoder.config
    ours, _ = classifier_model(config, kind.outputs(LABELS), pooling=config.pooling, seed=3)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(195))]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tokenizer = BertTokenizer(tmp_path / "vocab.txt")
    labels = tuple("abc") if kind.has_labels else ()
    signature = ModelSignature(labels, is_pair=None, max_length=32, kind=kind)
    folder = save(ours, tmp_path / "model", tokenizer=tokenizer, signature=signature)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert type(theirs).__name__ == ours.encoder.family.architecture
    data, given = texts(Pair(theirs, ours, folder))
    with torch.no_grad():
        expected = theirs(**given).logits
        assert float((ours.eval()(packed(data)) - expected).abs().max()) < 1e-5
        again = load(folder).classifier
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in again.state_dict().items())
