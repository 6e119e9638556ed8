"""A configuration knows the names of the activations without the functions."""

from bertune.models.encoder_config import ACTIVATION_NAMES
from bertune.nn.feed_forward import ACTIVATIONS


def test_every_name_has_its_function() -> None:
    assert tuple(ACTIVATIONS) == ACTIVATION_NAMES
