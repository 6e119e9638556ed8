"""Models with new weights, small and of every kind of task."""

from pathlib import Path

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.tokenization.tokenizer import BertTokenizer

WORDS = ["the", "film", "was", "good", "bad", "gre", "##at", "plot", "##s", "a", "and", ",", "!", "'"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


def small_model(folder: Path, signature: ModelSignature, *, seed: int = 1) -> LoadedModel:
    """Makes a model; its weights are large, so that its answers differ."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    sizes = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    classifier, _ = classifier_model(sizes, signature.num_outputs, pooling=signature.pooling, seed=seed)
    return LoadedModel(classifier.eval(), BertTokenizer(folder / "vocab.txt"), signature)


SINGLE = ModelSignature(("down", "up"), is_pair=False, max_length=32, text_a="text", thresholds=(0.4,), temperature=1.5)
PAIR = ModelSignature(("other", "same", "<b>odd</b>"), is_pair=True, max_length=32, text_a="one", text_b="two")
SEVERAL = ModelSignature(
    tuple(f"label {at}" for at in range(14)),
    is_pair=False,
    max_length=32,
    kind="multi-label",
    metrics=("f1_micro",),
    text_a="text",
)
VALUE = ModelSignature(
    (),
    is_pair=False,
    max_length=32,
    kind="regression",
    metrics=("pearson",),
    text_a="text",
    target_range=(0.0, 5.0),
)
WINDOWS = ModelSignature(
    ("down", "up"), is_pair=False, max_length=12, text_a="text", long_text="windows", window_stride=5
)
KINDS = {"single": SINGLE, "pair": PAIR, "several": SEVERAL, "value": VALUE, "windows": WINDOWS}
