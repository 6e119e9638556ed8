"""Writes the workload of a run: texts, order, hyper-parameters and one folder of initial weights for all systems.

    python -m benchmarks.speed.make_workload FOLDER --model minilm

MiniLM-L6 has its real weights. All others have random ones, and WordPiece whatever tokenizer their family has, its
vocabulary filled up to the table's rows by pieces that no text yields. The head is saved too, so all systems start from
the same logits. Runs in bertune's environment.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.data_folder import mrpc_folder
from benchmarks.speed.shapes import SHAPES
from bertune import (
    BertConfig,
    BertTokenizer,
    Columns,
    EncoderConfig,
    Examples,
    LabelSet,
    ModelSignature,
    classifier_model,
    encode_examples,
    find_splits,
    glue_task,
    read_examples,
    read_split,
    resolve_model,
    restore,
    save,
    write_tf_checkpoint,
)
from bertune.batches.sampler import epoch_order
from bertune.fetch.resolve import DEFAULT_MODEL
from bertune.models.deberta import DebertaV2Config
from bertune.models.distilbert import DistilBertConfig
from bertune.models.modernbert import ModernBertConfig
from bertune.models.roberta import RobertaConfig, XlmRobertaConfig

ROOT = Path(__file__).parents[2]
# Beside MiniLM; those of the families are the sizes of the released encoders, with the padding id of WordPiece and, of
# RoBERTa, its two types.
CONFIGS: dict[str, EncoderConfig] = {
    "tiny": BertConfig(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512),
    "base": BertConfig(),
    "roberta": RobertaConfig(pad_token_id=0, type_vocab_size=2),
    "distilbert": DistilBertConfig(),
    "xlm-roberta": XlmRobertaConfig(pad_token_id=0, type_vocab_size=2),
    "deberta-v3-small": DebertaV2Config(num_hidden_layers=6),
    "modernbert": ModernBertConfig(pad_token_id=0),
    "modernbert-long": ModernBertConfig(pad_token_id=0),
}
HYPER_PARAMETERS: dict[str, Any] = {
    "learning_rate": 5e-5,
    "weight_decay": 0.01,
    "max_gradient_norm": 1.0,
    "warmup_fraction": 0.1,
    "dropout": 0.1,
    "seed": 42,
}


def make_workload(folder: Path, model: str, epochs: int) -> None:
    """Writes the workload.

    Args:
        folder: an empty folder.
        model: one of `SHAPES`.
        epochs: over which the schedule runs; it must cover all rounds.
    """
    source = resolve_model(DEFAULT_MODEL)
    tokenizer = BertTokenizer.from_directory(source)
    shape = SHAPES[model]
    description, train, test = read_pairs()
    if shape.is_joined:
        description = f"sentences of {description}, joined"
        train, test = (joined(split, tokenizer, shape.max_length) for split in (train, test))
    count = len(train["labels"]) - len(train["labels"]) % shape.batch_size
    train = {name: values[:count] for name, values in train.items()}
    splits = {"train": train, "test": test}
    lengths: dict[str, Any] = {
        f"{name}_lengths": encode_examples(split["first"], split["second"], tokenizer, shape.max_length).lengths
        for name, split in splits.items()
    }
    order = np.stack([epoch_order(count, seed=HYPER_PARAMETERS["seed"], epoch=epoch) for epoch in range(epochs)])
    config = write_weights(folder, model, source, tokenizer)
    settings = HYPER_PARAMETERS | {
        "batch_size": shape.batch_size,
        "max_length": shape.max_length,
        "model": model,
        "is_bert": shape.is_bert,
        "epochs": epochs,
        "data": description,
        "examples": count,
        "tokens": int(lengths["train_lengths"].sum()),
        "test_examples": len(test["labels"]),
        "longest_train": int(lengths["train_lengths"].max()),
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "intermediate": config.intermediate_size,
    }
    (folder / "texts.json").write_text(json.dumps(splits), encoding="utf-8")
    np.savez(folder / "arrays.npz", order=order, **lengths)
    (folder / "workload.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


def read_pairs() -> tuple[str, dict[str, list[Any]], dict[str, list[Any]]]:
    """Returns MRPC's pairs where its files are, else those of the demo."""
    glue = mrpc_folder()
    if glue is not None:
        task = glue_task("mrpc")
        assert task.labels is not None
        splits = find_splits(glue, task)
        train, test = (_columns(read_split(splits[name]), task.labels) for name in ("train", "test"))
        return "MRPC", train, test
    columns = Columns("question1", "question2", "label")
    questions = [read_examples(ROOT / "examples" / "data" / f"{name}.csv", columns) for name in ("train", "test")]
    labels = LabelSet.from_values(questions[0].labels or ())
    train, test = (_columns(examples, labels) for examples in questions)
    return "the demo's questions", train, test


def _columns(examples: Examples, labels: LabelSet) -> dict[str, list[Any]]:
    ids = [int(label) for label in examples.label_ids(labels)]
    assert examples.texts_b is not None
    return {"first": list(examples.texts_a), "second": list(examples.texts_b), "labels": ids}


def joined(split: dict[str, list[Any]], tokenizer: BertTokenizer, max_length: int) -> dict[str, list[Any]]:
    """Joins sentences to pairs of texts of about as many tokens as an example may have."""
    sentences = [*split["first"], *split["second"]]
    lengths = encode_examples(sentences, None, tokenizer, max_length).lengths - 2
    texts, text, tokens = [], list[str](), 0
    for sentence, length in zip(sentences, lengths.tolist(), strict=True):
        if tokens + length > (max_length - 3) // 2:
            texts.append(" ".join(text))
            text, tokens = [], 0
        text.append(sentence)
        tokens += length
    count = len(texts) // 2
    return {"first": texts[:count], "second": texts[count : 2 * count], "labels": split["labels"][:count]}


def write_weights(folder: Path, model: str, source: Path, tokenizer: BertTokenizer) -> EncoderConfig:
    """Writes `model` for torch's systems and, of BERT, `tensorflow` for the original, from one classifier."""
    config = BertConfig.from_json_file(source / "config.json") if model == "minilm" else CONFIGS[model]
    classifier, encoder = classifier_model(config, 2, seed=HYPER_PARAMETERS["seed"])
    if model == "minilm":
        restore(encoder, source).assert_consumed()
    if config.vocab_size > tokenizer.vocab_size:
        tokenizer = filled_up(tokenizer, source, config.vocab_size, folder / "pieces")
    signature = ModelSignature(("no", "yes"), is_pair=True, max_length=SHAPES[model].max_length)
    save(classifier, folder / "model", tokenizer=tokenizer, signature=signature)
    if not SHAPES[model].is_bert:
        return config
    tensorflow = folder / "tensorflow"
    tensorflow.mkdir()
    write_tf_checkpoint(classifier, tensorflow / "classifier")
    (tensorflow / "bert_config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    return config


def filled_up(tokenizer: BertTokenizer, source: Path, rows: int, folder: Path) -> BertTokenizer:
    """Returns the tokenizer with spare pieces behind its own, which texts cannot yield: words are split at brackets."""
    pieces = (source / "vocab.txt").read_text("utf-8").splitlines()
    pieces += [f"[spare{number}]" for number in range(rows - len(pieces))]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return BertTokenizer(folder / "vocab.txt", do_lower_case=tokenizer.do_lower_case)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=SHAPES, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    make_workload(options.folder, options.model, options.epochs)


if __name__ == "__main__":
    main()
