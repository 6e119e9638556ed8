import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from tests.unit.plots.svg import count_in, texts, texts_by_name
from torch import nn

from bertune.errors import ConfigError
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder
from bertune.models.family import Family
from bertune.models.registry import FAMILIES
from bertune.plots.model_plot import plot_model
from bertune.plots.outline import outline_of

MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
TINY = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
DEBERTA = {"model_type": "deberta-v2", "num_hidden_layers": 2}
DISTILBERT = {"model_type": "distilbert"}
# Near the most that BertConfig takes.
HUGE = {
    "vocab_size": 950_000,
    "hidden_size": 8192,
    "num_hidden_layers": 2,
    "num_attention_heads": 64,
    "intermediate_size": 32768,
    "max_position_embeddings": 50_000,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_dropout_prob": 0.12345,
    "attention_probs_dropout_prob": 0.12345,
}


OTHERS = [f"{family.model_types[0]}, {pooling}" for family in FAMILIES[1:] for pooling in ("cls", "mean")]


def build(sizes: dict[str, object], *, pooler: bool = True) -> Encoder:
    with torch.device("meta"):
        return Encoder(pooler=pooler, **sizes)


def classify(encoder: Encoder, num_labels: int = 2, pooling: str = "cls") -> Classifier:
    with torch.device("meta"):
        return Classifier(encoder, num_labels, pooling=pooling)  # type: ignore[arg-type]


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(
    params=[*("encoder", "bare encoder", "classifier", "mean", "mean with pooler", "large", "partly frozen"), *OTHERS]
)
def model(request: pytest.FixtureRequest) -> Encoder | Classifier:
    if request.param == "partly frozen":
        frozen = classify(build(LARGE))
        for part in (frozen.encoder.embeddings, *frozen.encoder.layers[:8]):
            part.requires_grad_(False)
        frozen.encoder.layers[10].attention.requires_grad_(False)
        return frozen
    if request.param in OTHERS:
        model_type, pooling = request.param.split(", ")
        with torch.device("meta"):
            return classify(Encoder(model_type=model_type), pooling=pooling)
    return {
        "encoder": lambda: build(MINILM),
        "bare encoder": lambda: build(TINY, pooler=False),
        "classifier": lambda: classify(build(MINILM)),
        "mean": lambda: classify(build(MINILM, pooler=False), 3, "mean"),
        "mean with pooler": lambda: classify(build(MINILM), 1000, "mean"),
        "large": lambda: classify(build(LARGE)),
        "deberta": lambda: classify(build(DEBERTA)),
        "distilbert": lambda: classify(build(DISTILBERT)),
    }[request.param]()


def test_every_count_shown_is_that_of_the_module_it_is_named_after(model: Encoder | Classifier, tmp_path: Path) -> None:
    plot_model(model, tmp_path / "model.svg")
    shown = texts_by_name(tmp_path / "model.svg")
    encoder = model if isinstance(model, Encoder) else model.encoder
    modules = dict(model.named_modules()) | dict(encoder.named_modules())
    counts = {name.removesuffix(".parameters"): text for name, text in shown.items() if name.endswith(".parameters")}
    assert {"embeddings.token", "embeddings.norm", "layers.0.attention", "layers.0.feed_forward"} <= counts.keys()
    for name, text in counts.items():
        parts = name.split(".")
        # The layers above share the weights of those that are stored.
        is_shared = parts[0] == "layers" and int(parts[1]) >= len(encoder.layers)
        is_bare = name == "pooling" or name.endswith("_add") or is_shared
        assert count_in(text) == (0 if is_bare else size_of(modules[name])), name


def test_the_blocks_of_all_layers_together_are_the_total(model: Encoder | Classifier, tmp_path: Path) -> None:
    plot_model(model, tmp_path / "model.svg")
    shown = texts_by_name(tmp_path / "model.svg")
    encoder = model if isinstance(model, Encoder) else model.encoder
    first_of_run = sorted(int(name.split(".")[1]) for name in shown if name.endswith(".each"))
    ends = [*first_of_run[1:], len(encoder.layers)]
    repeats = {first: end - first for first, end in zip(first_of_run, ends, strict=True)}
    total = 0
    for name, text in shown.items():
        if name.endswith(".parameters"):
            parts = name.split(".")
            total += count_in(text) * (repeats[int(parts[1])] if parts[0] == "layers" else 1)
    assert total == count_in(shown["total"]) == size_of(model)


def test_shapes_between_the_blocks_are_those_the_model_gives(tmp_path: Path) -> None:
    encoder = Encoder(vocab_size=50, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40)
    classifier = Classifier(encoder, 5)
    inputs = {
        "input_word_ids": torch.ones(2, 7, dtype=torch.long),
        "input_mask": torch.ones(2, 7, dtype=torch.long),
        "input_type_ids": torch.zeros(2, 7, dtype=torch.long),
    }
    output = encoder(inputs)
    plot_model(encoder, tmp_path / "encoder.svg")
    plot_model(classifier, tmp_path / "classifier.svg")
    shown = texts(tmp_path / "encoder.svg")
    assert f"last_hidden_state: tokens × {output.last_hidden_state.shape[-1]}" in shown  # noqa: RUF001
    assert f"pooled: sequences × {output.pooled.shape[-1]}" in shown  # noqa: RUF001
    assert {"50 × 24", "512 × 24", "2 × 24"} <= set(shown)  # noqa: RUF001
    assert "24 → 40 → 24, gelu" in shown
    assert "4 heads of 6, dropout 0.1" in shown
    assert "Transformer layer × 3" in shown  # noqa: RUF001
    assert f"logits: sequences × {classifier(inputs).shape[-1]}" in texts(tmp_path / "classifier.svg")  # noqa: RUF001


def test_a_block_without_dropout_says_nothing_of_it(tmp_path: Path) -> None:
    plot_model(build(TINY | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}), tmp_path / "model.svg")
    assert not [text for text in texts(tmp_path / "model.svg") if "ropout" in text]
    assert "Add, layer norm" in texts(tmp_path / "model.svg")


def test_layers_that_differ_are_drawn_apart(tmp_path: Path) -> None:
    encoder = build(MINILM)
    encoder.layers[:4].requires_grad_(False)
    plot_model(encoder, tmp_path / "model.svg")
    shown = texts(tmp_path / "model.svg")
    assert "layers 0 to 3: 1,774,464 parameters each" in shown
    assert "layers 4 to 5: 1,774,464 parameters each" in shown
    assert "591,360 frozen" in shown
    assert f"{4 * 1_774_464:,} frozen" in next(text for text in shown if "MiB" in text)


def test_a_pooler_that_mean_pooling_leaves_aside_is_shown_as_unused() -> None:
    outline = outline_of(classify(build(TINY), pooling="mean"))
    assert [block.path for block in outline.ends] == ["pooling", "classifier"]
    assert [block.path for block in outline.unused] == ["pooler"]


def test_layers_that_normalize_first_add_at_the_end_of_each_step() -> None:
    with torch.device("meta"):
        encoder = Encoder(model_type="modernbert", num_hidden_layers=4)
    outline = outline_of(classify(encoder, pooling="mean"))
    assert [(run.first, run.count) for run in outline.layers] == [(0, 1), (1, 2), (3, 1)]
    paths = [[block.path for block in step] for step in outline.layers[0].steps]
    assert paths == [["attention", "attention_add"], ["feed_forward_norm", "feed_forward", "feed_forward_add"]]
    assert [step[0].path for step in outline.layers[1].steps] == ["attention_norm", "feed_forward_norm"]
    details = [run.steps[0][-2].detail for run in outline.layers]
    assert details[0] == details[2] == "12 heads of 64, whole sequences, rotary positions"
    assert details[1] == "12 heads of 64, 64 tokens on each side, rotary positions"
    assert [block.path for block in outline.ends] == ["final_norm", "pooling", "pooler", "classifier"]
    assert outline.ends[2].detail == "dense, gelu, layer norm"
    assert outline.unused == ()


def test_parameters_of_modules_that_bertune_does_not_know_are_not_lost() -> None:
    encoder = build(TINY, pooler=False)
    encoder.adapter = nn.Linear(10, 7)
    outline = outline_of(encoder)
    assert [(block.path, block.parameters) for block in outline.unused] == [("other", 77)]


def test_a_parameter_that_two_layers_share_counts_once() -> None:
    encoder = build(TINY)
    encoder.layers[1] = encoder.layers[0]
    outline = outline_of(encoder)
    assert [run.parameters for run in outline.layers] == [size_of(encoder.layers[0]), 0]
    assert outline.parameters == size_of(encoder)


@pytest.mark.parametrize(
    "sizes", [TINY, MINILM, LARGE, HUGE, DEBERTA], ids=["tiny", "minilm", "large", "huge", "deberta"]
)
@pytest.mark.parametrize("frozen", [False, True], ids=["training", "frozen"])
def test_every_text_fits_into_its_box_and_touches_no_other(sizes: dict[str, object], frozen: bool) -> None:
    model = classify(build(sizes), 1_000_000, "mean")
    model.encoder.requires_grad_(not frozen)
    picture = plot_model(model)
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    renderer = canvas.get_renderer()
    axes = picture.axes[0]
    words = [(text, text.get_window_extent(renderer)) for text in axes.texts]
    boxes = [patch.get_window_extent(renderer) for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    for (_, one), (_, other) in itertools.combinations(words, 2):
        assert not one.overlaps(other)
    for text, extent in words:
        assert picture.bbox.containsx(extent.x0)
        assert picture.bbox.containsx(extent.x1)
        middle = ((extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2)
        around = [box for box in boxes if box.contains(*middle)]
        if around:
            box = min(around, key=lambda box: box.width * box.height)
            assert all(box.contains(*corner) for corner in extent.corners()), text.get_text()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_is_drawn_with_all_its_parameters(family: Family[Any], tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128, "vocab_size": 50}
    padding = family.config().pad_token_id % 50
    model = classify(build({"model_type": family.model_types[0], "pad_token_id": padding, **sizes}))
    outline = outline_of(model)
    assert not outline.unused
    blocks = [*outline.tables, *outline.embedding_ends, *outline.shared, *outline.ends]
    layers = sum(run.count * run.parameters for run in outline.layers)
    assert sum(block.parameters for block in blocks) + layers == outline.parameters == size_of(model)
    assert sum(run.count for run in outline.layers) == model.encoder.config.num_hidden_layers
    plot_model(model, tmp_path / "model.svg")
    shown = texts(tmp_path / "model.svg")
    assert "token ids" in shown
    assert ("type ids" in shown) == (model.encoder.embeddings.token_type is not None)


@pytest.mark.parametrize("thing", [nn.Linear(2, 2), "model", None])
def test_something_that_is_no_model_is_refused(thing: object) -> None:
    with pytest.raises(ConfigError, match=type(thing).__name__):
        plot_model(thing)  # type: ignore[arg-type]


def test_the_model_is_left_as_it_is() -> None:
    model = Classifier(Encoder(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2), 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert isinstance(plot_model(model), Figure)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
