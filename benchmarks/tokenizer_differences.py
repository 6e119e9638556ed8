"""On how many hostile strings do other readers give other ids than Google's FullTokenizer?

    python benchmarks/tokenizer_differences.py --out benchmarks/results/tokenizer-differences

The strings are those of `tests/golden/hostile_strings.py`; our ids on them are held to Google's by the golden test, so
they stand for Google's here. Writes NAME.json and NAME.md.
"""

import argparse
import json
import runpy
import tempfile
from importlib import metadata
from pathlib import Path

import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bertune.fetch.resolve import DEFAULT_MODEL, resolve_model
from bertune.tokenization.tokenizer import BertTokenizer

ROOT = Path(__file__).parents[1]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def plain_tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    """BERT's components with the library's defaults, and the special tokens added: the usual way."""
    plain = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    plain.normalizer = normalizers.BertNormalizer(lowercase=True)
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain.add_special_tokens(SPECIAL)
    return plain


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    strings = list(runpy.run_path(str(ROOT / "tests" / "golden" / "hostile_strings.py"))["hostile_strings"]())
    # tokenizers and transformers raise on halves of surrogate pairs.
    texts = [text for text in strings if not any("\ud800" <= char <= "\udfff" for char in text)]
    ours = BertTokenizer(resolve_model(DEFAULT_MODEL) / "vocab.txt")
    expected = ours.encode_batch(texts)
    with tempfile.TemporaryDirectory() as folder:
        ours.save(folder)
        readers = {
            "plain tokenizers": lambda: [
                encoding.ids for encoding in plain_tokenizer(ours.vocab).encode_batch(texts, add_special_tokens=False)
            ],
            "AutoTokenizer on a saved folder": lambda: transformers.AutoTokenizer.from_pretrained(folder)(
                texts, add_special_tokens=False
            )["input_ids"],
            "transformers.BertTokenizer on a saved folder": lambda: transformers.BertTokenizer.from_pretrained(folder)(
                texts, add_special_tokens=False
            )["input_ids"],
        }
        counts = {
            name: sum(theirs != google for theirs, google in zip(read(), expected, strict=True))
            for name, read in readers.items()
        }
    versions = {name: metadata.version(name) for name in ("tokenizers", "transformers", "bertune")}
    results = {"strings": len(strings), "without surrogates": len(texts), "other ids": counts, "versions": versions}
    out.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
    lines = [f"| {name} | {count:,} of {len(texts):,} |" for name, count in counts.items()]
    about = ", ".join(f"{name} {version}" for name, version in versions.items())
    head = ["# Strings with other ids than Google's", "", "| reader | strings |", "|---|---|"]
    out.with_suffix(".md").write_text("\n".join([*head, *lines, "", about, ""]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
