"""Settings that tell the layers apart: rates that fall from top to bottom, and top layers that are initialized again.

Source: Zhang et al., 2021, "Revisiting Few-sample BERT Fine-tuning" (https://arxiv.org/abs/2006.05987), on
re-initializing and on layer-wise decay.
"""

from collections.abc import Callable

from bertune.errors import ConfigError
from bertune.models.classifier import Classifier, draw_weights
from bertune.models.encoder_config import EncoderConfig


def rate_scale_by_depth(classifier: Classifier, layer_decay: float) -> Callable[[str], float]:
    """Makes what tells a parameter's share of the learning rate from its name.

    Head, pooler and top layer have 1, each layer below `layer_decay` times the share of the one above it, and the
    embeddings count as one more layer below. Layers that share their weights are one layer.

    Args:
        classifier: whose layers are counted.
        layer_decay: in (0, 1].
    """
    encoder = classifier.encoder
    layers = encoder.config.num_stored_layers

    def scale(name: str) -> float:
        inner = name.removeprefix("encoder.")
        return 1.0 if inner == name else layer_decay ** (layers - encoder.depth_of(inner))

    return scale


def draw_top_layers(classifier: Classifier, count: int, *, seed: int) -> None:
    """Gives the top layers and the pooler the weights that a model without a checkpoint has.

    Args:
        classifier: changed in place.
        count: of layers.
        seed: of the draws; the other weights that this seed draws, the head's, are the same with and without it.

    Raises:
        ConfigError: the encoder has fewer layers.
    """
    encoder = classifier.encoder
    layers = encoder.config.num_stored_layers
    check_reinit_layers(count, encoder.config)
    names = {name for name, _ in encoder.named_parameters() if encoder.depth_of(name) > layers - count}
    draw_weights(classifier, seed=seed, only={f"encoder.{name}" for name in names})


def check_reinit_layers(count: int, config: EncoderConfig) -> None:
    """Refuses to draw more layers than there are; layers that share their weights are one.

    Raises:
        ConfigError: names both numbers.
    """
    layers = config.num_stored_layers
    if count > layers and layers < config.num_hidden_layers:
        raise ConfigError(
            f"reinit_layers ({count}) exceeds the encoder's one layer: "
            f"its {config.num_hidden_layers} share their weights"
        )
    if count > layers:
        raise ConfigError(f"reinit_layers ({count}) exceeds the encoder's {layers} layers")
