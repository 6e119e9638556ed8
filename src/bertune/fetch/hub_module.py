"""The tutorial's `classifier_model`, which may build on a hub encoder."""

from pathlib import Path

from bertune.checkpoints.restore import restore
from bertune.checkpoints.stored_sizes import fitted_config
from bertune.fetch.resolve import resolve_model
from bertune.models.classifier import Classifier
from bertune.models.classifier import classifier_model as new_classifier_model
from bertune.models.encoder import Encoder
from bertune.models.encoder_config import EncoderConfig, Pooling


def classifier_model(
    bert_config: EncoderConfig,
    num_labels: int,
    *,
    pooling: Pooling = "cls",
    seed: int | None = None,
    hub_module: str | Path | None = None,
) -> tuple[Classifier, Encoder]:
    """Builds a classifier with new weights, or on a pretrained encoder, and the encoder inside it.

    Args:
        bert_config: the encoder's sizes, of any family. The activation is the configuration's too: a SavedModel of
            Google's computes `gelu_tanh`, which `BertConfig.from_json_file` makes of Google's `gelu`.
        num_labels: outputs.
        pooling: see `Classifier`. With `mean` the encoder has no pooler where nothing would train it.
        seed: of the new weights; None continues torch's generator, a seed leaves that generator unchanged.
        hub_module: the folder of a hub encoder (SavedModel), or whatever else `restore` takes; as the tutorial's
            `hub_module_url`, but the encoder stays open: its layers are those of any other. None leaves new weights.

    Raises:
        CheckpointError: the encoder is not found, does not fit the configuration, or holds tensors that nobody knows.

    Example:
        >>> config = bertune.BertConfig.from_json_file("bert/config.json")
        >>> classifier, encoder = bertune.classifier_model(config, num_labels=2, seed=1)
        >>> classifier.num_labels, classifier.encoder is encoder
        (2, True)
    """
    if hub_module is None:
        return new_classifier_model(bert_config, num_labels, pooling=pooling, seed=seed)
    folder = resolve_model(hub_module)
    config = fitted_config(bert_config, folder)
    classifier, encoder = new_classifier_model(config, num_labels, pooling=pooling, seed=seed)
    restore(encoder, folder).assert_consumed()
    return classifier, encoder
