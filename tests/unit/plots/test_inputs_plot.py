from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.unit.plots.svg import texts

from bertune.batches.batch import pack_padded
from bertune.errors import ConfigError, DataError
from bertune.plots.inputs_plot import plot_inputs

Arrays = dict[str, NDArray[np.int32]]


@pytest.fixture
def arrays() -> Arrays:
    real = np.arange(6) < np.array([[6], [3], [4]])
    generator = np.random.default_rng(0)
    return {
        # Ids under the padding, which must not be seen.
        "input_word_ids": generator.integers(100, 30_000, real.shape).astype(np.int32),
        "input_mask": real.astype(np.int32),
        "input_type_ids": (real & (np.arange(6) >= 2)).astype(np.int32),
    }


def images(picture: Any) -> list[np.ma.MaskedArray[Any, Any]]:
    return [axes.images[0].get_array() for axes in picture.axes if axes.images]


def test_the_three_panels_hold_the_three_arrays_with_padding_masked(arrays: Arrays) -> None:
    ids, mask, types = images(plot_inputs(arrays))
    padding = arrays["input_mask"] == 0
    for shown, name in ((ids, "input_word_ids"), (types, "input_type_ids")):
        assert np.array_equal(np.ma.getmaskarray(shown), padding)
        assert np.array_equal(shown.compressed(), arrays[name][~padding])
    assert np.array_equal(mask, arrays["input_mask"])


def test_torch_tensors_and_packed_batches_look_the_same_as_numpy_arrays(arrays: Arrays, tmp_path: Path) -> None:
    packed, _ = pack_padded(arrays)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for name, inputs in (("arrays", arrays), ("tensors", tensors), ("packed", packed)):
        plot_inputs(inputs, tmp_path / f"{name}.svg")
    first = (tmp_path / "arrays.svg").read_bytes()
    assert (tmp_path / "tensors.svg").read_bytes() == first
    assert (tmp_path / "packed.svg").read_bytes() == first


def test_padding_has_a_colour_that_no_token_has(arrays: Arrays) -> None:
    for axes in plot_inputs(arrays).axes[:3]:
        image = axes.images[0]
        colors = image.to_rgba(image.get_array(), bytes=True)
        padding = arrays["input_mask"] == 0
        (blank,) = {tuple(color) for color in colors[padding].tolist()}
        assert blank not in {tuple(color) for color in colors[~padding].tolist()}


def test_axes_and_colours_are_explained(arrays: Arrays, tmp_path: Path) -> None:
    plot_inputs(arrays, tmp_path / "inputs.svg")
    shown = texts(tmp_path / "inputs.svg")
    assert {"input_word_ids", "input_mask", "input_type_ids", "example", "token id", "padding"} <= set(shown)
    assert {"0 padding", "1 token", "0 first text", "1 second text"} <= set(shown)
    assert shown.count("token position") == 3
    assert "3 examples, 6 token positions, 28 % padding" in shown


def test_the_first_example_is_at_the_top(arrays: Arrays) -> None:
    for axes in plot_inputs(arrays).axes[:3]:
        low, high = axes.get_ylim()
        assert low > high


def test_of_many_examples_the_first_are_drawn_and_the_title_says_so(arrays: Arrays, tmp_path: Path) -> None:
    picture = plot_inputs(arrays, tmp_path / "inputs.svg", max_examples=2)
    assert [image.shape for image in images(picture)] == [(2, 6)] * 3
    assert "the first 2 of 3 examples, 6 token positions, 25 % padding" in texts(tmp_path / "inputs.svg")


def test_without_padding_no_padding_is_explained(arrays: Arrays, tmp_path: Path) -> None:
    plot_inputs({name: array[:1] for name, array in arrays.items()}, tmp_path / "inputs.svg")
    shown = texts(tmp_path / "inputs.svg")
    assert "padding" not in shown
    assert "1 example, 6 token positions, 0 % padding" in shown


def test_more_than_two_types_get_a_colour_each(arrays: Arrays, tmp_path: Path) -> None:
    types = arrays["input_type_ids"].copy()
    types[0] = [0, 1, 2, 2, 3, 3]
    axes = plot_inputs(arrays | {"input_type_ids": types}, tmp_path / "inputs.svg").axes[2]
    colors = axes.images[0].to_rgba(np.arange(4), bytes=True)
    assert len({tuple(color) for color in colors.tolist()}) == 4
    assert "0 first text" not in texts(tmp_path / "inputs.svg")


def test_a_mask_with_holes_is_drawn_as_it_is(arrays: Arrays) -> None:
    arrays["input_mask"][0, 2] = 0
    _, mask, types = images(plot_inputs(arrays))
    assert mask[0].tolist() == [1, 1, 0, 1, 1, 1]
    assert np.ma.getmaskarray(types)[0].tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"input_mask": None}, ConfigError, "input_mask"),
        ({"input_word_ids": np.zeros((3, 5), np.int32)}, ConfigError, "one shape"),
        ({"input_word_ids": np.zeros((3, 6))}, ConfigError, "whole numbers"),
        ({"input_mask": np.full((3, 6), -10_000)}, DataError, "0 .padding. and 1"),
        ({"input_word_ids": np.full((3, 6), -7)}, DataError, "input_word_ids holds -7"),
        ({"input_type_ids": np.full((3, 6), 16)}, DataError, "input_type_ids holds 16"),
        ({"input_type_ids": np.full((3, 6), -1)}, DataError, "input_type_ids holds -1"),
    ],
)
def test_arrays_that_no_encoder_takes_are_refused(
    arrays: Arrays, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    inputs = {name: array for name, array in (arrays | change).items() if array is not None}
    with pytest.raises(error, match=words):
        plot_inputs(inputs)


@pytest.mark.parametrize("shape", [(0, 6), (3, 0)])
def test_nothing_cannot_be_drawn(shape: tuple[int, int]) -> None:
    nothing = np.zeros(shape, np.int32)
    with pytest.raises(ConfigError, match="nothing to draw"):
        plot_inputs(dict.fromkeys(("input_word_ids", "input_mask", "input_type_ids"), nothing))


def test_max_examples_must_leave_one(arrays: Arrays) -> None:
    with pytest.raises(ConfigError, match="max_examples"):
        plot_inputs(arrays, max_examples=0)
