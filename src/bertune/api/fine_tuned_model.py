"""A fine-tuned model with everything that can be done with it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bertune.api.card_facts import facts_of
from bertune.api.hub_push import Source, address_of, push
from bertune.api.hub_upload import HubTarget
from bertune.checkpoints import model_folder as model_directory
from bertune.checkpoints.model_folder import LoadedModel
from bertune.errors import ConfigError
from bertune.evaluation.evaluate_model import evaluate
from bertune.evaluation.explain import STEPS, explain
from bertune.evaluation.explanation import Explanation, Method
from bertune.evaluation.given_types import GivenLabelled, GivenTexts
from bertune.evaluation.predict_texts import predict
from bertune.evaluation.predictions import Predictions
from bertune.evaluation.scores import Scores
from bertune.exports.agreement import Agreement
from bertune.exports.formats import FormatName, Inputs
from bertune.exports.proved_export import OnProgress, export
from bertune.nn.device import DeviceName, choose_device
from bertune.nn.precision import Precision

Column = str | int | None


class Model(LoadedModel):
    """A fine-tuned model: what `bertune.load` and `Run.model` give.

    Texts are given as a text, a pair of texts, a list of either, a table in memory (a DataFrame of pandas or polars, a
    Table of pyarrow, a Dataset of `datasets`), or `Examples`. For a model of pairs a tuple of two texts is one pair.

    Args:
        classifier: in evaluation mode.
        tokenizer: the one it was trained with.
        signature: its labels, texts and lengths.

    Example:
        >>> model = bertune.load("runs/questions")
        >>> predictions = model.predict([("Where is my parcel?", "When will my order arrive?")])
        >>> predictions[0].label in model.labels
        True
        >>> model.predict_proba(("Where is my parcel?", "When will my order arrive?")).shape
        (1, 2)
    """

    @classmethod
    def of(cls, loaded: LoadedModel) -> "Model":
        """Takes what was loaded or built elsewhere."""
        return cls(loaded.classifier, loaded.tokenizer, loaded.signature)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels in the order of the probabilities; empty for regression."""
        return self.signature.labels

    def to(self, device: DeviceName) -> "Model":
        """Moves the model to a device, where it then answers; `auto` is the GPU where torch finds one.

        Returns:
            The model itself.
        """
        self.classifier.to(choose_device(device))
        return self

    def predict(
        self,
        texts: str | GivenTexts,
        *,
        text_a: Column = None,
        text_b: Column = None,
        precision: Precision = "fp32",
        on_batch: Callable[[int], None] | None = None,
    ) -> Predictions:
        """Predicts texts; one text is a list of one. See `bertune.predict`."""
        given = self._several(texts)
        return predict(self, given, text_a=text_a, text_b=text_b, precision=precision, on_batch=on_batch)

    def predict_proba(
        self, texts: str | GivenTexts, *, text_a: Column = None, text_b: Column = None, precision: Precision = "fp32"
    ) -> NDArray[Any]:
        """Returns the probability of each label.

        Returns:
            (texts, labels), float64, in the order of `labels`.

        Raises:
            ConfigError: the model predicts values.
        """
        if self.signature.kind == "regression":
            raise ConfigError("a model of values has no probabilities", hint="predict gives the values")
        return self.predict(texts, text_a=text_a, text_b=text_b, precision=precision).probabilities

    def evaluate(
        self,
        data: GivenLabelled,
        *,
        text_a: Column = None,
        text_b: Column = None,
        label: Column = None,
        precision: Precision = "fp32",
    ) -> Scores:
        """Scores the model on labelled texts: a table, `Examples`, or (texts, labels). See `bertune.evaluate`."""
        scores, _ = evaluate(self, data, text_a=text_a, text_b=text_b, label=label, precision=precision)
        return scores

    def explain(
        self,
        texts: str | GivenTexts,
        *,
        text_a: Column = None,
        text_b: Column = None,
        method: Method = "integrated-gradients",
        steps: int = STEPS,
    ) -> list[Explanation]:
        """Tells how much each word spoke for the answer or against it. See `bertune.explain`."""
        return explain(self, self._several(texts), text_a=text_a, text_b=text_b, method=method, steps=steps)

    def export(
        self,
        out: str | Path,
        *,
        format: FormatName,
        proof_rows: GivenTexts | None = None,
        inputs: Inputs = "ids",
        on_progress: OnProgress | None = None,
    ) -> Agreement:
        """Exports the model and proves that the export is equal to it. See `bertune.export`."""
        return export(self, out, format=format, proof_rows=proof_rows, inputs=inputs, on_progress=on_progress)

    def save(self, out: str | Path) -> Path:
        """Writes a model folder, which `bertune.load` and transformers read. See `bertune.save`.

        Returns:
            The folder.
        """
        return model_directory.save(self.classifier, out, tokenizer=self.tokenizer, signature=self.signature)

    def push_to_hub(
        self,
        name: str,
        *,
        license: str = "",
        language: str | Sequence[str] = (),
        datasets: str | Sequence[str] = (),
        base_model: str = "",
        private: bool = True,
        token: str | None = None,
    ) -> str:
        """Uploads the model to the Hugging Face hub as transformers loads it, after a proof that the files equal it.

        The temperature is folded into the head, as by `export(format="transformers")`. `Run.push_to_hub` adds the
        scores of the run to the card.

        Args:
            name: of the repository, such as `me/questions`; it is made where there is none.
            license: of the model, by its identifier on the hub: `apache-2.0`.
            language: of the texts, by their codes: `en`.
            datasets: that it was fine-tuned on, by their names on the hub; `none` where they are not there.
            base_model: that was fine-tuned; may be left out where the model knows its name on the hub, and is `none`
                where it has none.
            private: whether its owner alone may see the repository; one that is public is not written to.
            token: of the account; None takes the one that `hf auth login` keeps.

        Returns:
            The address of the upload.

        Raises:
            ConfigError: a fact for the card is missing, the hub refuses the name, or no account may write there.
            ResourceError: the hub cannot be reached, or takes no more.
        """
        facts = facts_of(license=license, language=language, datasets=datasets, base_model=base_model)
        pushed = push(Source(self), HubTarget(name, public=not private), facts, token=token)
        return address_of(pushed)

    def _several(self, texts: Any) -> Any:
        if isinstance(texts, str):
            return [texts]
        is_pair = self.signature.is_pair and isinstance(texts, tuple) and len(texts) == 2
        return [texts] if is_pair and all(isinstance(text, str) for text in texts) else texts


def load(directory: str | Path) -> Model:
    """Loads a fine-tuned model: a run of `bertune train`, a folder that `save` wrote, or a classifier of transformers.

    Of what `save` wrote every file but the card is checked against its digest. A folder with a BERT classifier that
    transformers fine-tuned answers with the labels in its config.json.

    Args:
        directory: the folder of the run or of the model.

    Raises:
        CheckpointError: a file is missing or changed, or the parts do not fit each other.
        DataError: there is no such folder, or no fine-tuned model in it.

    Example:
        >>> bertune.load("runs/questions/model")
        Model(classification of 'different', 'duplicate'; pairs of texts of up to 128 tokens)
    """
    return Model.of(model_directory.load(directory))
