"""Numbers for weights and gradients, and the original's variables in bertune's names and layout.

The map is written down here once more, apart from the one in bertune, so that it can disagree with it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_TABLES = {
    "word_embeddings": "encoder.embeddings.token.weight",
    "position_embedding": "encoder.embeddings.position.weight",
    "type_embeddings": "encoder.embeddings.token_type.weight",
}
_NORMS = {"self_attention_layer_norm": "attention_norm", "output_layer_norm": "output_norm"}
_DENSES = {"intermediate": "feed_forward.intermediate", "output": "feed_forward.output"}


def to_bertune(named: Mapping[str, NDArray[Any]]) -> Arrays:
    """Turns the variables of the original's `BertClassifier`, by Keras names, into our classifier's state dict."""
    left = {name.removesuffix(":0"): np.asarray(values) for name, values in named.items()}
    made: Arrays = {ours: left.pop(f"{theirs}/embeddings") for theirs, ours in _TABLES.items()}
    width = made["encoder.embeddings.token.weight"].shape[1]

    def dense(theirs: str) -> tuple[NDArray[Any], NDArray[Any]]:
        kernel, bias = left.pop(f"{theirs}/kernel"), left.pop(f"{theirs}/bias").reshape(-1)
        return kernel.reshape(-1, len(bias)).T, bias

    def put(ours: str, parts: tuple[NDArray[Any], NDArray[Any]]) -> None:
        made[f"{ours}.weight"], made[f"{ours}.bias"] = parts

    def norm(theirs: str) -> tuple[NDArray[Any], NDArray[Any]]:
        return left.pop(f"{theirs}/gamma"), left.pop(f"{theirs}/beta")

    put("encoder.embeddings.norm", norm("embeddings/layer_norm"))
    layer = 0
    while f"transformer/layer_{layer}/output/bias" in left:
        theirs, ours = f"transformer/layer_{layer}", f"encoder.layers.{layer}"
        three = [dense(f"{theirs}/self_attention/{part}") for part in ("query", "key", "value")]
        weight, bias = (np.concatenate(parts) for parts in zip(*three, strict=True))
        put(f"{ours}.attention.qkv", (weight, bias))
        put(f"{ours}.attention.output", dense(f"{theirs}/self_attention/attention_output"))
        for name, mine in _NORMS.items():
            put(f"{ours}.{mine}", norm(f"{theirs}/{name}"))
        for name, mine in _DENSES.items():
            put(f"{ours}.{mine}", dense(f"{theirs}/{name}"))
        layer += 1
    put("encoder.pooler.dense", dense("pooler_transform"))
    put("classifier", dense("sentence_prediction/logits"))
    assert not left, f"variables that the map does not know: {sorted(left)}"
    assert made["encoder.pooler.dense.weight"].shape == (width, width)
    return made


def random_weights(name: str, shape: tuple[int, ...], draw: np.random.Generator) -> NDArray[np.float32]:
    """Numbers of a trained encoder's size for a variable; biases and norms have some too."""
    values = draw.standard_normal(shape, np.float32)
    if name.removesuffix(":0").rpartition("/")[2] in ("bias", "beta", "output_bias"):
        return values * np.float32(0.1)
    if name.removesuffix(":0").endswith("gamma"):
        return values * np.float32(0.1) + np.float32(1.0)
    return values * np.float32(0.03)


class Gradients:
    """Made-up gradients, the same ones in every process, by the original's names and shapes.

    Every third step is large, so that the clip acts; in between it does not.
    """

    def __init__(self) -> None:
        self._numbers = np.random.default_rng(2020).standard_normal(1 << 25, np.float32)

    def of(self, shapes: Mapping[str, tuple[int, ...]], step: int) -> Arrays:
        made = {}
        for place, (name, shape) in enumerate(sorted(shapes.items())):
            size = int(np.prod(shape))
            start = (step * 15_485_863 + place * 104_729) % (len(self._numbers) - size)
            scale = np.float32(1e-3 if step % 3 == 0 else 3e-5)
            made[name] = (self._numbers[start : start + size] * scale).reshape(shape)
        return made
