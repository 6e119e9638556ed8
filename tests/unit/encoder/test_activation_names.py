"""A configuration knows the names of the activations without the functions."""

from bertune.encoder.config import ACTIVATION_NAMES
from bertune.encoder.feed_forward import ACTIVATIONS


def test_every_name_has_its_function() -> None:
    assert tuple(ACTIVATIONS) == ACTIVATION_NAMES
