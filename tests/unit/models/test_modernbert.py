"""ModernBERT's configuration, and what its checkpoints bring."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.unit.checkpoints.test_stored_sizes import settings_for
from tests.unit.kernels.encoder_worlds import batch_of

from bertune.checkpoints.model_folder import load
from bertune.checkpoints.restore import restore
from bertune.checkpoints.safetensors_file import TensorFiles
from bertune.checkpoints.stored_sizes import fitted_config
from bertune.checkpoints.weight_files import find_tensor_files
from bertune.errors import CheckpointError, ConfigError, DataError
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.encoder import Encoder, computing_in
from bertune.models.encoder_config import Pooling
from bertune.models.modernbert import ModernBertConfig
from bertune.models.registry import read_config
from bertune.training.config import TrainingConfig
from bertune.training.layer_settings import draw_top_layers
from bertune.training.prepare import prepare

# The keys of ModernBERT-base's file.
PUBLISHED: dict[str, Any] = {
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 50281,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_dropout": 0.0,
    "classifier_pooling": "mean",
    "cls_token_id": 50281,
    "decoder_bias": True,
    "deterministic_flash_attn": False,
    "embedding_dropout": 0.0,
    "eos_token_id": 50282,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "gradient_checkpointing": False,
    "hidden_activation": "gelu",
    "hidden_size": 768,
    "initializer_cutoff_factor": 2.0,
    "initializer_range": 0.02,
    "intermediate_size": 1152,
    "layer_norm_eps": 1e-05,
    "local_attention": 128,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "mlp_dropout": 0.0,
    "model_type": "modernbert",
    "norm_bias": False,
    "norm_eps": 1e-05,
    "num_attention_heads": 12,
    "num_hidden_layers": 22,
    "pad_token_id": 50283,
    "position_embedding_type": "absolute",
    "reference_compile": None,
    "repad_logits_with_grad": False,
    "sep_token_id": 50282,
    "sparse_pred_ignore_index": -100,
    "sparse_prediction": False,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "transformers_version": "4.47.0.dev0",
    "vocab_size": 50368,
}
SMALL = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 128,
    "local_attention": 8,
    "pad_token_id": 0,
}


def test_the_published_file_is_the_default_but_for_its_pooling() -> None:
    config = ModernBertConfig.from_dict(PUBLISHED)
    assert config == replace(ModernBertConfig(), classifier_pooling="mean")
    assert (config.pooling, config.max_positions) == ("mean", 8192)
    assert [number for number, kind in enumerate(config.layer_types) if kind == "full_attention"] == [*range(0, 22, 3)]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"global_attn_every_n_layers": 2, "local_rope_theta": 160000.0, "global_rope_theta": 1000.0},
        {"layer_types": ["sliding_attention"] * 21 + ["full_attention"]},
        {"embedding_dropout": 0.1, "mlp_dropout": 0.2, "attention_dropout": 0.3, "classifier_dropout": 0.4},
        {"norm_bias": True, "hidden_activation": "gelu_new", "classifier_activation": "tanh"},
    ],
)
def test_a_file_says_the_same_to_transformers_and_comes_back(changed: dict[str, Any]) -> None:
    config = ModernBertConfig.from_dict(PUBLISHED | changed)
    written = json.loads(json.dumps(config.file_values()))
    assert ModernBertConfig.from_dict(written) == config
    theirs = transformers.ModernBertConfig(**(PUBLISHED | changed))
    ours = transformers.ModernBertConfig(**written)
    for key in (PUBLISHED | changed).keys() & theirs.to_dict().keys() & ours.to_dict().keys():
        if key not in ("architectures", "transformers_version", "dtype"):
            assert ours.to_dict()[key] == theirs.to_dict()[key], key
    for key in ("layer_types", "rope_parameters"):
        assert ours.to_dict()[key] == theirs.to_dict()[key]
    # What readers before version 5 know.
    assert written["global_rope_theta"] == config.global_rope_theta
    assert written.get("global_attn_every_n_layers") == (
        None if "layer_types" in changed else changed.get("global_attn_every_n_layers", 3)
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_scaling, which is not computed"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "rope_type is 'default' only"),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "default", "factor": 4.0}}},
            "full_attention have factor, which is not known",
        ),
        ({"rope_parameters": {"rope_theta": 5.0}}, "an object for each of full_attention and sliding_attention"),
        ({"rope_theta": 5.0}, "'rope_theta' = 5.0, a key that is not known"),
        ({"attention_sinks": 4}, "'attention_sinks' = 4, a key that is not known"),
        ({"mlp_gate": "none"}, "'mlp_gate' = 'none', a key that is not known"),
        ({"is_causal": True}, "is_causal = True"),
        ({"is_decoder": True}, "is_decoder = True"),
        ({"layer_types": ["full_attention"]}, "for each of 22 layers"),
        ({"layer_types": ["linear_attention"] * 22}, "layer_types must say"),
        ({"layer_types": "full_attention"}, "layer_types must be a list"),
        ({"layer_types": [["full_attention"]] * 22}, "layer_types must"),
        ({"global_attn_every_n_layers": 0}, "a whole number above 0, not 0"),
        ({"global_attn_every_n_layers": True}, "a whole number above 0, not True"),
        ({"local_attention": 0}, "local_attention must be at least 1"),
        ({"local_attention": 128.5}, "local_attention must be a whole number"),
        ({"local_rope_theta": 0.0}, "local_rope_theta must be above 1"),
        ({"local_rope_theta": "10000"}, "local_rope_theta must be a number"),
        ({"mlp_dropout": 1.0}, r"mlp_dropout must lie in \[0, 1\)"),
        ({"norm_bias": "no"}, "norm_bias must be true or false"),
        ({"mlp_bias": 0}, "mlp_bias must be true or false"),
        ({"classifier_activation": "swish"}, "classifier_activation 'swish' is not known"),
        ({"classifier_pooling": "max"}, "classifier_pooling 'max' is not known"),
        ({"hidden_activation": "mish"}, "hidden_act 'mish' is not known"),
        ({"num_attention_heads": 256}, "must be even"),
        ({"num_hidden_layers": 10**9}, "10,000,000,000"),
        ({"num_hidden_layers": "22"}, "num_hidden_layers must be a whole number"),
    ],
)
def test_what_would_be_computed_otherwise_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModernBertConfig.from_dict(PUBLISHED | changed)


def saved(folder: Path, kind: str, **changed: Any) -> transformers.PreTrainedModel:
    config = transformers.ModernBertConfig(**(SMALL | changed))
    torch.manual_seed(1)
    model = getattr(transformers, f"ModernBert{kind}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    return model


def test_the_head_of_pretraining_comes_along_and_its_decoder_does_not(tmp_path: Path) -> None:
    theirs = saved(tmp_path, "ForMaskedLM")
    classifier, encoder = classifier_model(read_config(tmp_path / "config.json"), 2, seed=2)
    receipt = restore(encoder, tmp_path).assert_consumed()
    assert not receipt.having("new")
    unused = {record.name: record.reason for record in receipt.having("unused")}
    assert unused == {"decoder.bias": "pre-training head"}
    assert classifier.encoder.pooler is not None
    assert torch.equal(classifier.encoder.pooler.dense.weight, theirs.head.dense.weight)
    assert classifier.encoder.pooler.norm is not None
    assert torch.equal(classifier.encoder.pooler.norm.weight, theirs.head.norm.weight)


def test_a_body_leaves_the_head_new(tmp_path: Path) -> None:
    saved(tmp_path, "Model")
    _, encoder = classifier_model(read_config(tmp_path / "config.json"), 2, seed=2)
    receipt = restore(encoder, tmp_path).assert_consumed()
    assert [record.name for record in receipt.having("new")] == ["pooler.dense.weight", "pooler.norm.weight"]


def test_an_encoder_without_the_head_lists_it_as_unused(tmp_path: Path) -> None:
    saved(tmp_path, "ForSequenceClassification")
    encoder = Encoder.from_config(read_config(tmp_path / "config.json"), pooler=False)
    unused = {record.name for record in restore(encoder, tmp_path).assert_consumed().having("unused")}
    assert unused == {"classifier.bias", "classifier.weight", "head.dense.weight", "head.norm.weight"}


def test_a_head_of_another_size_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "ForMaskedLM")
    config = read_config(tmp_path / "config.json")
    assert isinstance(config, ModernBertConfig)
    encoder = Encoder.from_config(replace(config, classifier_bias=True))
    restore(encoder, tmp_path)
    assert encoder.pooler is not None
    encoder.pooler.dense.weight = torch.nn.Parameter(torch.zeros(8, 8))
    with pytest.raises(CheckpointError, match=r"shape    pooler\.dense\.weight   checkpoint 16 x 16, encoder 8 x 8"):
        restore(encoder, tmp_path)


@pytest.mark.parametrize(("name", "value"), [("intermediate_size", 10_000), ("hidden_size", 1024), ("vocab_size", 99)])
def test_sizes_beyond_those_of_the_weights_are_refused_from_their_header(name: str, value: int, tmp_path: Path) -> None:
    saved(tmp_path, "Model")
    config = read_config(tmp_path / "config.json")
    assert fitted_config(config, tmp_path) == config
    with pytest.raises(CheckpointError, match=f"{name} is {value:,} there"):
        fitted_config(replace(config, **{name: value}), tmp_path)


def build(**changed: Any) -> Encoder:
    torch.manual_seed(0)
    return Encoder(model_type="modernbert", **(SMALL | {"initializer_range": 0.2} | changed)).eval()


def test_depths_are_those_of_the_layers() -> None:
    encoder = build()
    depths = {name: encoder.depth_of(name) for name, _ in encoder.named_parameters()}
    assert depths["embeddings.norm.weight"] == 0
    assert depths["layers.0.feed_forward_norm.weight"] == 1
    assert depths["layers.3.attention_norm.weight"] == depths["final_norm.weight"] == depths["pooler.norm.weight"] == 4


def test_layers_drawn_again_are_the_top_ones_and_what_stands_above_them() -> None:
    config = ModernBertConfig.from_dict(SMALL)
    classifier, encoder = classifier_model(config, 2, seed=1)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(7.0)
    draw_top_layers(classifier, 1, seed=1)
    drawn = {name for name, value in encoder.state_dict().items() if torch.equal(value, before[name])}
    assert drawn == {name for name in before if encoder.depth_of(name) == 4}
    assert {"final_norm.weight", "pooler.norm.weight", "layers.3.attention_norm.weight"} <= drawn


def test_a_sequence_beyond_the_positions_is_refused() -> None:
    encoder = build()
    assert len(encoder.encode(batch_of([128]))) == 128
    with pytest.raises(DataError, match=r"position 128 is outside 0\.\.127"):
        encoder.encode(batch_of([129]))


def test_a_table_of_a_few_tokens_gives_the_same() -> None:
    """As training has it: the rows of the tokens that occur, found by their ids."""
    encoder, batch = build(), batch_of([40, 7])
    exact = encoder.encode(batch)
    table = encoder.input_embeddings
    ids = batch.token_ids.unique()
    table.row_of = torch.full((60,), -1)
    table.row_of[ids] = torch.arange(len(ids))
    table.weight = torch.nn.Parameter(table.weight.detach()[ids])
    assert torch.equal(encoder.encode(batch), exact)


@pytest.mark.parametrize("last", ["full_attention", "sliding_attention"])
def test_the_first_tokens_alone_are_those_of_all(last: str) -> None:
    encoder = build(layer_types=["full_attention", "sliding_attention", "sliding_attention", last])
    batch = batch_of([50, 3, 17, 1, 100])
    with torch.no_grad():
        every, first = encoder.encode(batch), encoder.encode(batch, first_only=True)
    torch.testing.assert_close(first, every[batch.layout.first_tokens], atol=1e-6, rtol=1e-6)


def test_vectors_in_the_place_of_the_tables_rows_are_taken() -> None:
    encoder, batch = build(), batch_of([20, 5])
    vectors = encoder.input_embeddings.weight[batch.token_ids].detach().requires_grad_()
    found = encoder.encode(batch, token_vectors=vectors)
    assert torch.equal(found, encoder.encode(batch))
    (found * torch.arange(16.0)).sum().backward()  # the sum alone of a normalized vector is always 0
    assert vectors.grad is not None
    assert bool(vectors.grad.abs().sum(dim=1).gt(0).all())


def test_bf16_is_near_float32() -> None:
    encoder, batch = build(), batch_of([100, 3, 40])
    with torch.no_grad():
        exact = encoder.encode(batch)
        with computing_in(encoder, torch.bfloat16):
            rough = encoder.encode(batch)
    assert rough.dtype == torch.float32
    assert 0 < float((rough - exact).abs().max()) < 0.2


def test_mean_pooling_needs_the_head_too() -> None:
    with pytest.raises(ConfigError, match="pooling 'mean' needs an encoder with a pooler"):
        Classifier(Encoder(model_type="modernbert", pooler=False, **SMALL), 2, pooling="mean")


def with_vocabulary(folder: Path) -> Path:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(55))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_classifier_of_transformers_answers_with_its_own_pooling(pooling: str, tmp_path: Path) -> None:
    theirs = saved(tmp_path, "ForSequenceClassification", classifier_pooling=pooling)
    model = load(with_vocabulary(tmp_path))
    assert model.signature.pooling == model.classifier.pooling == pooling
    batch = batch_of([30])
    with torch.no_grad():
        expected = theirs(input_ids=batch.token_ids[None]).logits
        assert float((model.classifier(batch) - expected).abs().max()) < 1e-5


@pytest.mark.parametrize("own", ["cls", "mean"])
@pytest.mark.parametrize("asked", [None, "cls", "mean"])
def test_training_takes_the_files_pooling_unless_another_is_asked_for(
    own: Pooling, asked: Pooling | None, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    saved(model, "ForMaskedLM", classifier_pooling=own)
    settings = replace(settings_for(with_vocabulary(model), tmp_path), pooling=asked)
    run = prepare(settings, TrainingConfig(epochs=1), say=lambda line: None)
    assert run.classifier.pooling == run.signature.pooling == (asked or own)
    pooler = run.classifier.encoder.pooler
    assert pooler is not None
    assert torch.equal(pooler.dense.weight, TensorFiles(find_tensor_files(model)).read("head.dense.weight"))
