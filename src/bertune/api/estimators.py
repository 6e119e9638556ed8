"""Training as scikit-learn's estimators do it: settings in the constructor, `fit`, `predict`, `score`."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertune.api.fine_tuned_model import Model, load
from bertune.api.trained_run import train
from bertune.data.examples import Columns
from bertune.data.frames import column_names, is_frame, read_frame
from bertune.data.given_values import described, is_nothing, listed
from bertune.data.label_words import label_word
from bertune.errors import ConfigError, DataError
from bertune.evaluation.given_types import GivenTexts
from bertune.nn.device import DeviceName
from bertune.nn.precision import Precision
from bertune.tokenization.long_texts import LongText
from bertune.training.checkpoint_settings import NEVER
from bertune.training.config import OptimizerName, RecipeName

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError as missing:
    raise ConfigError(
        'TextClassifier and TextRegressor need scikit-learn: pip install "bertune[sklearn]"',
        hint='pip install "bertune[sklearn]"',
    ) from missing

_FILES = "model_files_"


class _TextEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: texts in, a model as the fitted state, files as its pickle."""

    _kind: Literal["classification", "regression"]
    verbose: bool
    device: DeviceName

    def _train(self, texts: list[Any], labels: list[Any]) -> None:
        settings = self.get_params(deep=False)
        quiet = not settings.pop("verbose")
        with tempfile.TemporaryDirectory(prefix="bertune-") as folder:
            out = Path(folder) / "run"
            run = train((texts, labels), out=out, quiet=quiet, kind=self._kind, save_every=NEVER, **settings)
            self.model_ = run.model.to(self.device)
        self.scores_, self.history_ = run.scores, run.history

    def __getstate__(self) -> dict[str, Any]:
        # A model is its files: they are checked when they are read, and no code is in them.
        state = dict(super().__getstate__())
        model = state.pop("model_", None)
        if model is not None:
            state[_FILES] = _files_of(model)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        files = state.pop(_FILES, None)
        super().__setstate__(state)
        if files is not None:
            self.model_ = _model_of(files).to(self.device)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


class TextClassifier(ClassifierMixin, _TextEstimator):  # type: ignore[misc]
    """A classifier of texts or pairs of texts for scikit-learn: pipelines, searches, cross-validation.

    It is what `bertune.train` makes, with the same settings and defaults, in the interface of scikit-learn's
    estimators. Its texts are a list, series or array of texts, a list of pairs, or a frame of one or two columns; its
    labels are words, numbers or truth values. Part of the rows given to `fit` is held back to choose the best epoch by,
    see `validation`. A fitted one is pickled as the files of its model.

    Args:
        model: a BERT encoder: a folder, a name of the hub, or an address.
        tokenizer: a folder with the encoder's vocabulary, where it is not beside the weights.
        validation: a share of the rows to hold back and choose the best epoch by, `none` to train on all, or the path
            of a table with the columns text and label; by default as for `bertune train`.
        pooling: see `RunSettings`, as all settings that follow up to `skip_probe`.
        max_length: tokens of an example at most.
        long_text: what becomes of longer ones.
        window_stride: tokens between the beginnings of windows.
        metric: chooses the best epoch.
        positive: of two labels the one that F1 and a threshold are about, as a word.
        threshold: `auto` chooses thresholds on the rows held back.
        threshold_for: the metric to choose thresholds for.
        label_smoothing: see `TrainingConfig`.
        class_weights: `("balanced",)`, or `LABEL=WEIGHT` for each label.
        device: where to train and predict.
        allow_new: parameters that may be missing in the checkpoint.
        skip_probe: leave out the regressions on frozen features and on TF-IDF.
        recipe: see `TrainingConfig`, as all settings that follow.
        epochs: passes over the training data.
        batch_size: examples per optimizer step.
        micro_batch_size: examples computed at a time.
        learning_rate: the peak of the schedule.
        warmup_fraction: share of the steps over which the rate rises.
        layer_decay: of the rate from layer to layer.
        freeze: lowest layers that, with the embeddings, do not train.
        lora: rank of adapters that train in the place of the encoder's weights.
        lora_alpha: by which adapters are multiplied, divided by their rank.
        reinit_layers: top layers that start from new weights.
        weight_decay: decoupled.
        max_gradient_norm: gradients are clipped to it.
        optimizer: `adamw_torch` or `adamw`.
        precision: in which the layers compute.
        seed: of all that is random.
        patience: evaluations without a better one after which training stops.
        evaluate_every: steps between evaluations, beside the ends of epochs.
        verbose: shows what is found in the data, and progress.

    Attributes:
        classes_: the labels in sorted order, with the type that they had in `y`.
        model_: the fitted `Model`.
        scores_: `Scores` on the rows held back; None where none were.
        history_: `History` of the training.

    Example:
        >>> texts = ["good film", "a bad plot", "nice music", "very sad"] * 10
        >>> classifier = bertune.TextClassifier(model="bert", epochs=1).fit(texts, [1, 0] * 20)
        >>> classifier.predict_proba(["nice film", "sad"]).shape, classifier.classes_.tolist()
        ((2, 2), [0, 1])
    """

    _kind = "classification"

    def __init__(  # noqa: PLR0913 (scikit-learn reads the settings here)
        self,
        *,
        model: str | os.PathLike[str] = "sentence-transformers/all-MiniLM-L6-v2",
        tokenizer: str | os.PathLike[str] | None = None,
        validation: str | os.PathLike[str] | float | None = None,
        pooling: Literal["cls", "mean"] | None = None,
        max_length: int = 128,
        long_text: LongText = "first",
        window_stride: int | None = None,
        metric: str | None = None,
        positive: str | None = None,
        threshold: Literal["default", "auto"] = "default",
        threshold_for: str | None = None,
        label_smoothing: float = 0.0,
        class_weights: Sequence[str] = (),
        device: DeviceName = "auto",
        allow_new: Sequence[str] = (),
        skip_probe: bool = False,
        recipe: RecipeName = "auto",
        epochs: int | None = None,
        batch_size: int | None = None,
        micro_batch_size: int | None = None,
        learning_rate: float | None = None,
        warmup_fraction: float | None = None,
        layer_decay: float | None = None,
        freeze: int | None = None,
        lora: int | None = None,
        lora_alpha: float | None = None,
        reinit_layers: int = 0,
        weight_decay: float | None = None,
        max_gradient_norm: float | None = None,
        optimizer: OptimizerName | None = None,
        precision: Precision = "auto",
        seed: int = 42,
        patience: int | None = None,
        evaluate_every: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.validation = validation
        self.pooling = pooling
        self.max_length = max_length
        self.long_text = long_text
        self.window_stride = window_stride
        self.metric = metric
        self.positive = positive
        self.threshold = threshold
        self.threshold_for = threshold_for
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights
        self.device = device
        self.allow_new = allow_new
        self.skip_probe = skip_probe
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size
        self.learning_rate = learning_rate
        self.warmup_fraction = warmup_fraction
        self.layer_decay = layer_decay
        self.freeze = freeze
        self.lora = lora
        self.lora_alpha = lora_alpha
        self.reinit_layers = reinit_layers
        self.weight_decay = weight_decay
        self.max_gradient_norm = max_gradient_norm
        self.optimizer = optimizer
        self.precision = precision
        self.seed = seed
        self.patience = patience
        self.evaluate_every = evaluate_every
        self.verbose = verbose

    def fit(self, X: GivenTexts, y: ArrayLike) -> Self:  # noqa: N803 (scikit-learn's name)
        """Trains a model.

        Args:
            X: texts or pairs of texts, or a frame of one or two columns.
            y: a label for each.

        Returns:
            The classifier itself.

        Raises:
            ConfigError: a setting that cannot work.
            DataError: texts or labels that cannot be used, or only one label.
        """
        labels = _one_column(y)
        for place, value in enumerate(labels.tolist()):
            if is_nothing(value):
                raise DataError(f"y[{place}] is {described(value)}, expected a label", hint="leave such texts out")
        try:
            check_classification_targets(labels)
        except ValueError as error:
            raise DataError(f"y cannot be classified: {error}") from error
        values, ids = np.unique(labels, return_inverse=True)
        words = [label_word(value) for value in values.tolist()]
        if len(set(words)) != len(words):
            twice = next(word for word in words if words.count(word) > 1)
            raise DataError(f"several labels in y are written {twice!r}", hint="make them differ as texts")
        self._train(_texts(X), [words[place] for place in ids.tolist()])
        self.classes_ = values
        # Where each class stands among the labels of the model, whose order has a meaning of its own.
        self._places = np.array([self.model_.labels.index(word) for word in words])
        return self

    def predict(self, X: GivenTexts) -> NDArray[Any]:  # noqa: N803
        """Returns the label of each text, as they were in `y`."""
        check_is_fitted(self)
        decided = self.model_.predict(_texts(X)).decisions
        labels: NDArray[Any] = self.classes_[np.argsort(self._places)[decided]]
        return labels

    def predict_proba(self, X: GivenTexts) -> NDArray[np.float64]:  # noqa: N803
        """Returns (texts, classes) probabilities in the order of `classes_`."""
        check_is_fitted(self)
        shares: NDArray[np.float64] = self.model_.predict_proba(_texts(X))[:, self._places]
        return shares


class TextRegressor(RegressorMixin, _TextEstimator):  # type: ignore[misc]
    """A regressor of texts or pairs of texts for scikit-learn; see `TextClassifier`.

    Args:
        model: as for `TextClassifier`, like all others but one.
        tokenizer: as there.
        validation: as there.
        pooling: as there.
        max_length: as there.
        long_text: as there.
        window_stride: as there.
        metric: as there.
        target_range: lowest and highest target; others are refused, and predictions stay within.
        device: as there.
        allow_new: as there.
        skip_probe: as there.
        recipe: as there.
        epochs: as there.
        batch_size: as there.
        micro_batch_size: as there.
        learning_rate: as there.
        warmup_fraction: as there.
        layer_decay: as there.
        freeze: as there.
        lora: as there.
        lora_alpha: as there.
        reinit_layers: as there.
        weight_decay: as there.
        max_gradient_norm: as there.
        optimizer: as there.
        precision: as there.
        seed: as there.
        patience: as there.
        evaluate_every: as there.
        verbose: as there.

    Attributes:
        model_: the fitted `Model`.
        scores_: `Scores` on the rows held back; None where none were.
        history_: `History` of the training.

    Example:
        >>> pairs = [("good film", "nice film"), ("very sad", "good music")] * 20
        >>> regressor = bertune.TextRegressor(model="bert", epochs=1, validation="none").fit(pairs, [4.5, 1.0] * 20)
        >>> regressor.predict([("nice music", "good music")]).shape
        (1,)
    """

    _kind = "regression"

    def __init__(  # noqa: PLR0913 (scikit-learn reads the settings here)
        self,
        *,
        model: str | os.PathLike[str] = "sentence-transformers/all-MiniLM-L6-v2",
        tokenizer: str | os.PathLike[str] | None = None,
        validation: str | os.PathLike[str] | float | None = None,
        pooling: Literal["cls", "mean"] | None = None,
        max_length: int = 128,
        long_text: LongText = "first",
        window_stride: int | None = None,
        metric: str | None = None,
        target_range: tuple[float, float] | None = None,
        device: DeviceName = "auto",
        allow_new: Sequence[str] = (),
        skip_probe: bool = False,
        recipe: RecipeName = "auto",
        epochs: int | None = None,
        batch_size: int | None = None,
        micro_batch_size: int | None = None,
        learning_rate: float | None = None,
        warmup_fraction: float | None = None,
        layer_decay: float | None = None,
        freeze: int | None = None,
        lora: int | None = None,
        lora_alpha: float | None = None,
        reinit_layers: int = 0,
        weight_decay: float | None = None,
        max_gradient_norm: float | None = None,
        optimizer: OptimizerName | None = None,
        precision: Precision = "auto",
        seed: int = 42,
        patience: int | None = None,
        evaluate_every: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.validation = validation
        self.pooling = pooling
        self.max_length = max_length
        self.long_text = long_text
        self.window_stride = window_stride
        self.metric = metric
        self.target_range = target_range
        self.device = device
        self.allow_new = allow_new
        self.skip_probe = skip_probe
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size
        self.learning_rate = learning_rate
        self.warmup_fraction = warmup_fraction
        self.layer_decay = layer_decay
        self.freeze = freeze
        self.lora = lora
        self.lora_alpha = lora_alpha
        self.reinit_layers = reinit_layers
        self.weight_decay = weight_decay
        self.max_gradient_norm = max_gradient_norm
        self.optimizer = optimizer
        self.precision = precision
        self.seed = seed
        self.patience = patience
        self.evaluate_every = evaluate_every
        self.verbose = verbose

    def fit(self, X: GivenTexts, y: ArrayLike) -> Self:  # noqa: N803
        """Trains a model.

        Args:
            X: texts or pairs of texts, or a frame of one or two columns.
            y: a number for each.

        Returns:
            The regressor itself.

        Raises:
            ConfigError: a setting that cannot work.
            DataError: texts or targets that cannot be used.
        """
        self._train(_texts(X), _one_column(y).tolist())
        return self

    def predict(self, X: GivenTexts) -> NDArray[np.float64]:  # noqa: N803
        """Returns the value of each text."""
        check_is_fitted(self)
        return np.asarray(self.model_.predict(_texts(X)).decisions, np.float64)


def _texts(given: Any) -> list[Any]:
    """Returns texts or pairs as a list, from any form that scikit-learn can index."""
    if is_frame(given):
        names = column_names(given)
        if not 1 <= len(names) <= 2:
            raise ConfigError(
                f"X has the columns {', '.join(map(repr, names))}, expected the one of the texts, or the two of pairs",
                hint='choose them: X[["text"]]',
            )
        examples = read_frame(given, Columns(0, 1 if len(names) == 2 else None), name="X")
        seconds = examples.texts_b
        return examples.texts_a if seconds is None else list(zip(examples.texts_a, seconds, strict=True))
    if isinstance(given, np.ndarray) and given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    texts = [tuple(text) if isinstance(text, list) else text for text in listed(given, "X")]
    for place, text in enumerate(texts):
        if not isinstance(text, str) and not (isinstance(text, tuple) and len(text) == 2):
            raise DataError(f"X[{place}] is {described(text)}, expected a text or a pair of texts")
        for number, part in enumerate(text if isinstance(text, tuple) else ()):
            if not isinstance(part, str):
                raise DataError(f"X[{place}][{number}] is {described(part)}, expected a text")
    return texts


def _one_column(labels: ArrayLike) -> NDArray[Any]:
    values = np.asarray(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"y has the shape {values.shape}, expected one label for each text",
            hint='several labels a text are learned by bertune.train(…, kind="multi-label")',
        )
    return values


def _files_of(model: Model) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="bertune-") as parent:
        folder = model.save(Path(parent) / "model")
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _model_of(files: dict[str, bytes]) -> Model:
    with tempfile.TemporaryDirectory(prefix="bertune-") as parent:
        folder = Path(parent)
        for name, content in files.items():
            (folder / Path(name).name).write_bytes(content)
        return load(folder)
