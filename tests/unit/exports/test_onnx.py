"""The format `onnx`: every family's arithmetic in another runtime, and the file itself."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from bertune import export, load, predict
from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import BertuneError, ConfigError
from bertune.evaluation.logits import predict_logits
from bertune.exports import onnx_folder, onnx_layers, onnx_program
from bertune.exports.proof_rows import _random_rows, _rows_at_limits, _typed
from bertune.models.albert import AlbertConfig
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.models.deberta import DebertaV2Config
from bertune.models.distilbert import DistilBertConfig
from bertune.models.electra import ElectraConfig
from bertune.models.encoder_config import EncoderConfig
from bertune.models.modernbert import ModernBertConfig
from bertune.models.mpnet import MpnetConfig
from bertune.models.registry import FAMILIES
from bertune.models.roberta import CamembertConfig, RobertaConfig, XlmRobertaConfig
from bertune.nn.feed_forward import ACTIVATIONS
from bertune.runtime.onnx_answers import answer_rows
from bertune.runtime.onnx_session import OnnxSession
from bertune.runtime.padded_rows import ProofRows
from bertune.tokenization.tokenizer import BertTokenizer

SIZES = {
    "vocab_size": 1008,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 70,
    "initializer_range": 0.2,
}
CONFIGS: dict[str, EncoderConfig] = {
    "bert": BertConfig(**SIZES),
    "bert, one type": BertConfig(**SIZES, type_vocab_size=1),
    **{f"bert, {name}": BertConfig(**SIZES, hidden_act=name) for name in ACTIVATIONS},
    "roberta": RobertaConfig(**SIZES),
    "xlm-roberta": XlmRobertaConfig(**SIZES),
    "camembert": CamembertConfig(**SIZES),
    "distilbert": DistilBertConfig(**SIZES),
    "electra": ElectraConfig(**SIZES, embedding_size=16),
    "mpnet": MpnetConfig(**SIZES),
    "albert": AlbertConfig(**SIZES, embedding_size=16),
    "modernbert": ModernBertConfig(**SIZES, local_attention=8, pad_token_id=0),
    "modernbert, biases": ModernBertConfig(
        **SIZES, local_attention=6, pad_token_id=0, attention_bias=True, mlp_bias=True, norm_bias=True
    ),
    "deberta": DebertaV2Config(**SIZES, position_buckets=16),
    "deberta, products of its own": DebertaV2Config(
        **SIZES, position_buckets=-1, share_att_key=False, norm_rel_ebd="none"
    ),
    "deberta, c2p": DebertaV2Config(**SIZES, position_buckets=16, pos_att_type="c2p"),
    "deberta, p2c": DebertaV2Config(**SIZES, position_buckets=16, pos_att_type="p2c"),
}
SIGNATURE = ModelSignature(labels=("a", "b", "c"), is_pair=True, max_length=48)


def model_of(config: EncoderConfig, pooling: str) -> LoadedModel:
    """A model with numbers of its own everywhere; its tokenizer is not asked."""
    torch.manual_seed(0)
    classifier, _ = classifier_model(config, 3, pooling=pooling)
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return LoadedModel(classifier.eval(), _Tokenizer(), SIGNATURE)


class _Tokenizer:
    digest = "of nothing"


def rows_of(config: EncoderConfig) -> ProofRows:
    longest = config.max_positions
    drawn = _random_rows(80, config.vocab_size, longest, np.random.default_rng(1))
    rows = _typed(drawn, config)
    return ProofRows(rows, texts=0, vocab_size=config.vocab_size, max_positions=longest)


def answered(made: onnx.ModelProto, rows: ProofRows, folder: Path) -> np.ndarray:
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    rows.save(folder / "rows.npz")
    where = {"folder": str(folder), "rows": str(folder / "rows.npz"), "out": str(folder / "logits.npy")}
    answer_rows(**where, on_rows=lambda _: None)
    return np.load(folder / "logits.npy")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_family_is_the_same_in_another_runtime(name: str, pooling: str, tmp_path: Path) -> None:
    config = CONFIGS[name]
    model = model_of(config, pooling)
    made = onnx_program.onnx_model(model)
    onnx.checker.check_model(made, full_check=True)
    rows = rows_of(config)
    expected = predict_logits(model.classifier, rows.encoded)
    assert np.abs(expected[0] - expected[-1]).max() > 0.01
    assert np.abs(answered(made, rows, tmp_path) - expected).max() < 2e-5
    inputs = [given.name for given in made.graph.input]
    assert inputs == ["input_ids", "attention_mask", "token_type_ids"][: 3 if config.type_vocab_size > 1 else 2]
    # Nothing but the standard's own operators, and all weights inside.
    assert {node.domain for node in made.graph.node} == {""}
    assert not any(constant.external_data for constant in made.graph.initializer)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_family_in_int8_answers_a_row_alike_whatever_stands_beside_it(name: str, tmp_path: Path) -> None:
    config = CONFIGS[name]
    model = model_of(config, "cls")
    made = onnx_program.onnx_model(model, weight_bits=7)
    onnx.checker.check_model(made, full_check=True)
    assert {node.domain for node in made.graph.node} == {""}
    (tmp_path / "model.onnx").write_bytes(made.SerializeToString())
    session = OnnxSession(tmp_path / "model.onnx", threads=1)
    rows = rows_of(config).encoded
    together = session.logits(rows)
    expected = predict_logits(model.classifier, rows)
    spread = np.abs(expected - expected.mean(0)).max()
    assert 0 < np.abs(together - expected).max() < 0.3 * spread
    for row in (0, len(rows) // 2, len(rows) - 1):
        assert np.abs(session.logits(rows.take([row])) - together[row]).max() < 1e-5


def test_products_take_the_threads_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = onnx_program.onnx_model(model_of(CONFIGS["bert"], "cls"))
    (tmp_path / "model.onnx").write_bytes(made.SerializeToString())
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for given, expected in ((None, 3), (2, 2)):
        session = OnnxSession(tmp_path / "model.onnx", threads=given)._session
        assert session.get_session_options().intra_op_num_threads == expected


def test_no_family_is_without_such_a_test() -> None:
    assert {type(config) for config in CONFIGS.values()} == {family.config for family in FAMILIES}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_activation_is_below_what_int8_takes_it_to_be_above(name: str) -> None:
    values = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    lowest = ACTIVATIONS[name](values).min().item()
    assert lowest - 2e-4 < onnx_layers._LEAST[ACTIVATIONS[name]] <= lowest


def test_rows_at_the_limits_are_answered(tmp_path: Path) -> None:
    config = CONFIGS["deberta"]
    model = model_of(config, "cls")
    limits = _typed(_rows_at_limits(config.vocab_size, config.max_positions), config)
    rows = ProofRows(limits, texts=0, vocab_size=config.vocab_size, max_positions=config.max_positions)
    expected = predict_logits(model.classifier, rows.encoded)
    assert np.abs(answered(onnx_program.onnx_model(model), rows, tmp_path) - expected).max() < 2e-5


def test_more_columns_than_positions_are_refused_by_the_runtime(tmp_path: Path) -> None:
    made = onnx_program.onnx_model(model_of(CONFIGS["bert"], "cls"))
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    ones = np.ones((1, 71), np.int64)
    given = {"input_ids": ones, "attention_mask": ones, "token_type_ids": 0 * ones}
    with pytest.raises(Exception, match=r"(?i)broadcast|dimension"):
        session.run(None, given)


def test_two_exports_are_the_same_bytes_and_proved(make_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_model(temperature=0.5, labels=("different", "same", "näher"))
    one, two = (tmp_path / name for name in ("one", "two"))
    agreement = export(folder, one, format="onnx")
    export(load(folder), two, format="onnx")
    assert agreement.rows == 1047
    assert agreement.max_difference <= agreement.tolerance == 1e-4
    assert "onnxruntime" in agreement.versions
    names = {path.name for path in one.iterdir()}
    assert names == {
        *("model.onnx", "config.json", "contract.json", "agreement.json", "proof.json", "proof_rows.npz"),
        *("tokenizer.json", "tokenizer_config.json", "vocab.txt"),
    }
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names - {"proof.json"})
    stored = {entry.key: entry.value for entry in onnx.load(one / "model.onnx").metadata_props}
    assert json.loads(stored["bertune.labels"]) == ["different", "same", "näher"]
    assert stored["bertune.task"] == "classification"
    assert stored["bertune.tokenizer_digest"] == load(folder).tokenizer.digest
    assert float(stored["bertune.folded_temperature"]) == 0.5
    assert json.loads((one / "config.json").read_text())["id2label"]["2"] == "näher"


def test_the_probabilities_are_calibrated(make_model: Callable[..., Path], tmp_path: Path) -> None:
    model = load(make_model(temperature=0.25))
    export(model, tmp_path / "out", format="onnx", proof_rows=[("one text", "and another")])
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    predicted = predict(model, [("one text", "and another")])
    assert isinstance(model.tokenizer, BertTokenizer)
    ids, types = model.tokenizer.encode("one text", "and another")
    given = {"input_ids": [ids], "attention_mask": [[1] * len(ids)], "token_type_ids": [types]}
    given = {name: np.array(values, np.int64) for name, values in given.items()}
    odds = np.exp(session.run(None, given)[0])
    assert np.allclose(odds / odds.sum(), predicted.probabilities, atol=1e-5)


def test_a_wrong_graph_is_found_and_leaves_nothing(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model()
    from bertune.exports import onnx_rows

    monkeypatch.setattr(onnx_rows, "HIDDEN", 0.0)
    monkeypatch.setattr(onnx_program, "HIDDEN", 0.0)
    with pytest.raises(BertuneError, match="does not equal the model"):
        export(folder, tmp_path / "deep" / "out", format="onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_does_not_fit_into_one_file_is_refused(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_folder, "_MOST_BYTES", 1000)
    with pytest.raises(ConfigError, match="does not fit into one ONNX file"):
        export(make_model(), tmp_path / "out", format="onnx")
    assert not (tmp_path / "out").exists()


def test_the_runtime_needs_no_torch() -> None:
    code = "import sys, bertune.runtime.onnx_answers; sys.exit(any(name in sys.modules for name in ('torch', 'onnx')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
