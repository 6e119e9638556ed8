"""On how many hostile strings do tokenizers of TensorFlow graphs give other ids than Google's FullTokenizer?

    .venv-original/bin/python -m benchmarks.tensorflow_text_differences --out benchmarks/results/tensorflow-text

tensorflow-text's BertTokenizer and FastBertTokenizer, with room for words of 400 characters as in the original, and the
graph of `bertune export --inputs text`, beside the golden ids of `tests/golden`. Also the processor time that this
graph takes for 32 pairs of the demo's questions, at the median, and the size of its tables. Writes NAME_DATE.json and
NAME_DATE.md.
"""

import argparse
import datetime
import json
import runpy
import statistics
import time
from pathlib import Path

import tensorflow as tf
import tensorflow_text as text

from bertune.data.demo_data import demo_folder
from bertune.data.examples import Columns
from bertune.data.sources import read_examples
from bertune.fetch.resolve import DEFAULT_MODEL, resolve_model
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.tokenization.word_piece_tables import tables_of

ROOT = Path(__file__).parents[1]
PEER = runpy.run_path(str(ROOT / "tests" / "parity" / "tokens_with_tensorflow.py"))
ROWS = 32
ROUNDS = 40


def readers_of(vocabulary: Path, *, lower: bool) -> dict:
    """Functions from a batch of strings to ids."""
    pieces = vocabulary.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    plain = text.BertTokenizer(
        str(vocabulary), lower_case=lower, token_out_type=tf.int32, unknown_token="[UNK]", max_bytes_per_word=1600
    )
    fast = text.FastBertTokenizer(
        pieces, lower_case_nfd_strip_accents=lower, token_out_type=tf.int32, max_bytes_per_word=1600
    )
    ours = PEER["function_of"](BertTokenizer(vocabulary, do_lower_case=lower))

    def flat(ragged: tf.RaggedTensor) -> list:
        return (ragged.merge_dims(1, 2) if ragged.ragged_rank == 2 else ragged).to_list()

    return {
        "text.BertTokenizer": lambda batch: flat(plain.tokenize(batch)),
        "text.FastBertTokenizer": lambda batch: flat(fast.tokenize(batch)),
        "bertune export --inputs text": lambda batch: PEER["ids_of"](ours, batch),
    }


def counts_of(run: dict, vocabulary: Path) -> dict:
    strings = list(PEER["HOSTILE"]["hostile_strings"]())
    rows = [
        (string.encode(), ids)
        for string, ids in zip(strings, PEER["unpacked"](run["hostile"]), strict=True)
        if not PEER["has_half_a_pair"](string)
    ]
    counts = {"strings": len(rows)}
    for name, read in readers_of(vocabulary, lower=run["do_lower_case"]).items():
        found = [
            ids for start in range(0, len(rows), 100) for ids in read([row for row, _ in rows[start : start + 100]])
        ]
        counts[name] = sum(ids != google for ids, (_, google) in zip(found, rows, strict=True))
    return counts


def cost_of(vocabulary: Path) -> dict:
    tokenizer = BertTokenizer(vocabulary)
    function = PEER["function_of"](tokenizer, pairs=True, max_length=128)
    examples = read_examples(demo_folder() / "train.csv", Columns("question1", "question2"), require_label=False)
    taken = []
    for number in range(ROUNDS + 1):
        place = number * ROWS % (len(examples) - ROWS)
        columns = [tf.constant(column[place : place + ROWS]) for column in (examples.texts_a, examples.texts_b or [])]
        begun = time.process_time()
        function(*columns)
        taken.append(time.process_time() - begun)
    tables = sum(array.nbytes for array in vars(tables_of(tokenizer)).values())
    return {"processor_ms": 1000 * statistics.median(taken[1:]), "table_bytes": tables}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    uncased = resolve_model(DEFAULT_MODEL) / "vocab.txt"
    small = ROOT / "tests" / "golden" / "small_cased_vocab.txt"
    counts = {
        name: counts_of(run, uncased if run["vocab"] == "vocab.txt" else small)
        for name, run in PEER["GOLDEN"]["runs"].items()
    }
    cost = cost_of(uncased)
    versions = {"tensorflow": tf.__version__, "tensorflow-text": text.__version__}
    name = f"{out.name}_{datetime.datetime.now(tz=datetime.UTC).date()}"
    result = {"counts": counts, "cost": cost, "versions": versions}
    (out.parent / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    readers = [reader for reader in next(iter(counts.values())) if reader != "strings"]
    lines = ["# Strings with other ids than Google's, in TensorFlow graphs", ""]
    lines += [f"| | {' | '.join(counts)} |", "|---" * (1 + len(counts)) + "|"]
    for reader in readers:
        cells = [f"{each[reader]:,} of {each['strings']:,}" for each in counts.values()]
        lines.append(f"| {reader} | {' | '.join(cells)} |")
    lines += [
        "",
        f"bertune's graph, {ROWS} pairs of the demo's questions: {cost['processor_ms']:.0f} ms of processor time at",
        f"the median of {ROUNDS}; its tables for bert-base-uncased's vocabulary are {cost['table_bytes'] / 1e6:.1f} MB",
        "",
        ", ".join(f"{package} {version}" for package, version in versions.items()),
        "",
        f"    .venv-original/bin/python -m benchmarks.tensorflow_text_differences --out {out}",
        "",
    ]
    (out.parent / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
