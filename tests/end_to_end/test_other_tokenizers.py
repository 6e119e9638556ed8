"""BERT's body with another family's tokenizer, as multilingual MiniLM and e5 have it, through the command line."""

import json
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, Run, write_encoder
from tests.unit.tokenization.trained import sentencepiece, trained_pieces, write

PIECES = trained_pieces()
#: Fairseq's numbering has one id more, and the mask behind.
ROWS = len(PIECES) + 2
SHORT = ["--epochs", "1", "--max-length", "32"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small encoder whose vocabulary is a model of SentencePiece."""
    folder = write_encoder(tmp_path / "encoder", [f"x{number}" for number in range(ROWS)])
    for name in ("vocab.txt", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(sentencepiece(PIECES))
    config = json.loads((folder / "config.json").read_bytes())
    write(folder, "config.json", config | {"tokenizer_class": "XLMRobertaTokenizer"})
    return folder


def test_a_run_is_trained_used_and_its_records_are_read(run: Run, tables: Path, model: Path, tmp_path: Path) -> None:
    out, encoded = tmp_path / "out", tmp_path / "encoded"
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(out), *SHORT)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (out / "model").iterdir()}
    assert "tokenizer.json" in names
    assert "vocab.txt" not in names
    for verb in (["predict", str(out), "a good film"], ["predict", str(out), "--explain", "a good film"]):
        answered = run(*verb)
        assert answered.returncode == 0, answered.stderr
    shown = run("inspect", str(model))
    assert f"tokenizer: Unigram, {ROWS} pieces, cased" in shown.stdout
    done = run("encode", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(encoded), *SHORT[2:])
    assert done.returncode == 0, done.stderr
    again = run("train", "--data", str(encoded), "--model", str(model), "--out", str(tmp_path / "again"), *SHORT)
    assert again.returncode == 0, again.stderr
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (out, tmp_path / "again")]
    assert weights[0] == weights[1]


def test_a_cut_vocabulary_exits_3_with_one_line(run: Run, tables: Path, model: Path, tmp_path: Path) -> None:
    path = model / "sentencepiece.bpe.model"
    path.write_bytes(path.read_bytes()[:-3])
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(tmp_path / "out"), *SHORT)
    assert done.returncode == 3
    assert "sentencepiece.bpe.model: not a model of SentencePiece" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_tokenizer_of_another_model_exits_3(run: Run, tables: Path, model: Path, tmp_path: Path) -> None:
    more = [(f"more{number}", -9.0, 1) for number in range(5)]
    (model / "sentencepiece.bpe.model").write_bytes(sentencepiece([*PIECES, *more]))
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(tmp_path / "out"), *SHORT)
    assert done.returncode == 3
    assert f"the vocabulary has {ROWS + 5} entries, embeddings.token.weight has {ROWS} rows" in done.stderr
