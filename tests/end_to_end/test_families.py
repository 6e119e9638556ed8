"""Every family from a folder that transformers wrote to a model that transformers loads, by the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tests.end_to_end.world import BAD, COLUMNS, GOOD, OTHER, SPECIAL, TRAINING, Run

from bertune.checkpoints.model_folder import load
from bertune.errors import ConfigError
from bertune.exports.saved_model import FORMAT

BODY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SIZES = {
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 128},
    "Electra": {**BODY, "embedding_size": 32, "max_position_embeddings": 128},
    "MPNet": {**BODY, "max_position_embeddings": 130},
    "Albert": {**BODY, "hidden_size": 64, "embedding_size": 32, "max_position_embeddings": 128},
    # A window of 6 tokens, less than most texts have.
    "ModernBert": {**BODY, "max_position_embeddings": 128, "local_attention": 6, "pad_token_id": 0},
    "DebertaV2": {
        **BODY,
        "max_position_embeddings": 128,
        "relative_attention": True,
        "position_biased_input": False,
        "position_buckets": 16,
        "pos_att_type": "p2c|c2p",
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    },
}


def encoder_of(family: str, folder: Path) -> Path:
    """An encoder without a head, as `AutoModel` saves it, with WordPiece."""
    words = [*SPECIAL, *GOOD, *BAD, *OTHER]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(vocab_size=len(words), **SIZES[family])
    getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    return folder


# The others differ from these in parts that their unit tests cover.
USUAL = ("DistilBert", "ModernBert", "DebertaV2")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=() if name in USUAL else pytest.mark.slow) for name in SIZES],
)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def encoder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder_of(family, tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def fine_tuned(run: Run, family: str, encoder: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mood"
    # On some processors the default is bf16.
    settings = [*COLUMNS, *TRAINING, "--precision", "fp32"]
    done = run("train", "--data", str(tables), "--model", str(encoder), "--out", str(out), *settings)
    assert done.returncode == 0, done.stderr
    # Checkpoints of ALBERT have the pooler.
    assert f"new: {'' if family == 'Albert' else 'pooler, '}classifier head\n" in done.stderr
    assert '"fp32, compiled kernels"' in (out / "metrics.jsonl").read_text().partition("\n")[0]
    scores = json.loads((out / "scores.json").read_text())
    assert scores["validation"]["metrics"]["accuracy"]["value"] > 0.8
    return out


def test_transformers_gives_the_same_logits(fine_tuned: Path, family: str, tables: Path, run: Run) -> None:
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(fine_tuned / "model").eval()
    assert type(theirs).__name__ == f"{family}ForSequenceClassification"
    tokenizer = transformers.AutoTokenizer.from_pretrained(fine_tuned / "model")
    text = " ".join([*GOOD[:2], *OTHER[:3]])
    with torch.no_grad():
        logits = theirs(**tokenizer(text, return_tensors="pt")).logits[0].double().numpy()
    signature = json.loads((fine_tuned / "model" / "bertune.json").read_text())
    shares = np.exp(logits / signature["temperature"])
    done = run("predict", str(fine_tuned), text, "--json")
    (answer,) = json.loads(done.stdout) if done.stdout.startswith("[") else [json.loads(done.stdout)]
    found = [answer["probabilities"][name] for name in signature["labels"]]
    assert found == pytest.approx((shares / shares.sum()).tolist(), abs=1e-6)


def test_every_verb_takes_it(
    fine_tuned: Path, family: str, encoder: Path, tables: Path, run: Run, tmp_path: Path
) -> None:
    data = ["--data", str(tables)]
    for command in (
        ["evaluate", str(fine_tuned), *data, "--split", "test"],
        ["calibrate", str(fine_tuned)],
        ["predict", str(fine_tuned), "good", "--explain"],
        ["export", str(fine_tuned), str(tmp_path / "exported"), "--format", "transformers"],
        ["inspect", str(fine_tuned / "model")],
        ["inspect", str(encoder)],
        ["report", str(fine_tuned)],
        # It is fine-tuned again, with its head.
        ["train", *data, *COLUMNS, "--model", str(fine_tuned), "--out", str(tmp_path / "again"), *TRAINING],
        [
            "train",
            *data,
            *COLUMNS,
            "--model",
            str(encoder),
            "--out",
            str(tmp_path / "mean"),
            "--pooling",
            "mean",
            *TRAINING,
        ],
    ):
        done = run(*command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    kept = json.loads((tmp_path / "mean" / "model" / "config.json").read_text())
    if family == "ModernBert":
        assert (kept["model_type"], kept["classifier_pooling"]) == ("modernbert", "mean")
        done = run("export", str(tmp_path / "mean"), str(tmp_path / "exported mean"), "--format", "transformers")
        assert done.returncode == 0, done.stderr
    else:
        assert kept["model_type"].startswith("bertune_mean_pooling_")
    assert run("evaluate", str(tmp_path / "mean"), *data).returncode == 0


def test_what_only_bert_has_is_refused_by_a_sentence(fine_tuned: Path, run: Run, tmp_path: Path) -> None:
    done = run("export", str(fine_tuned), str(tmp_path / "out"), "--format", "tf_checkpoint")
    assert done.returncode == 2
    assert "cannot become a TensorFlow checkpoint: the Model Garden's encoder is BERT" in done.stderr
    assert "hint: export to transformers" in done.stderr
    assert not (tmp_path / "out").exists()
    # Its package is asked for first, and may not be there.
    with pytest.raises(ConfigError, match="cannot be exported to saved_model, whose program computes BERT"):
        FORMAT.check(load(fine_tuned / "model"))


def test_a_configuration_of_another_family_than_the_weights_is_refused(
    encoder: Path, family: str, run: Run, tables: Path, tmp_path: Path
) -> None:
    for name in ("model.safetensors", "vocab.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((encoder / name).read_bytes())
    values = {"model_type": "roberta", **BODY, "vocab_size": 30, "max_position_embeddings": 128}
    (tmp_path / "config.json").write_text(json.dumps(values))
    out = tmp_path / "run"
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(tmp_path), "--out", str(out), *TRAINING)
    assert done.returncode == 3
    # ModernBERT's table of tokens has a name of its own.
    assert ("no RoBERTa encoder in this checkpoint" if family == "ModernBert" else "does not fit") in done.stderr
    assert not out.exists()
