"""What was called a contract is found by that name for one release, with a warning."""

from pathlib import Path

import pytest

import bertune
from bertune.checkpoints.model_folder import load, save
from bertune.checkpoints.signature import ModelSignature
from bertune.models.classifier import Classifier
from bertune.tokenization.tokenizer import BertTokenizer


def test_the_class_the_keyword_and_the_attribute_keep_working(
    tmp_path: Path, classifier: Classifier, tokenizer: BertTokenizer, signature: ModelSignature
) -> None:
    with pytest.warns(
        DeprecationWarning, match=r"bertune\.Contract is deprecated: use bertune\.ModelSignature"
    ) as told:
        assert bertune.Contract is ModelSignature
    assert told[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="contract= of save is deprecated: use signature=") as told:
        folder = save(classifier, tmp_path / "m", tokenizer=tokenizer, contract=signature)  # type: ignore[call-arg]
    assert told[0].filename == __file__
    model = load(folder)
    with pytest.warns(DeprecationWarning, match=r"\.contract of LoadedModel is deprecated: use \.signature") as told:
        assert model.contract == model.signature
    assert told[0].filename == __file__


def test_both_names_at_once_are_refused(
    tmp_path: Path, classifier: Classifier, tokenizer: BertTokenizer, signature: ModelSignature
) -> None:
    with pytest.raises(TypeError, match="got contract= and signature=, which are the same"):
        save(classifier, tmp_path / "m", tokenizer=tokenizer, signature=signature, contract=signature)  # type: ignore[call-arg]
