"""The card of a model on the hub: what the model's own card says, with metadata that the hub can search."""

from typing import TYPE_CHECKING, Any, Final

from bertune.api.card_facts import NONE, CardFacts
from bertune.checkpoints.model_card import as_page_text
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import ConfigError
from bertune.evaluation.saved_scores import SavedScores
from bertune.system.json_file import JsonObject
from bertune.wording.metric_text import metric_interval, metric_name, metric_text

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

# Metrics of the hub, where it calls them otherwise.
_METRICS: Final = {
    "f1_macro": "f1",
    "f1_micro": "f1",
    "subset_accuracy": "accuracy",
    "matthews": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}
_LIBRARIES: Final = {"onnx": "onnx", "saved_model": "tf-keras", "tf_checkpoint": "tf-keras"}
_SCORES: Final = "## Scores\n"
_UNPUBLISHED: Final = "unpublished"


def hub_card(text: str, name: str, facts: CardFacts, signature: ModelSignature, scores: dict[str, SavedScores]) -> str:
    """Returns a card with facts and scores in its metadata, and the scores in words at its end.

    Args:
        text: of the card; its metadata are kept.
        name: of the repository.
        facts: complete ones.
        signature: of the model.
        scores: by the split that was scored; empty where they are not known.

    Raises:
        ConfigError: the metadata of the card cannot be read.
    """
    if "hf download" not in text:  # of a model that comes from the hub, the card says so already
        text = text.replace('"THIS_FOLDER"', f'"{name}"')
        text = text.replace("bertune predict", f"hf download {name} --local-dir THIS_FOLDER\nbertune predict", 1)
    card = _read(text)
    data: Any = card.data
    data.license = facts.license
    data.language = list(facts.languages)
    data.datasets = None if facts.datasets == (NONE,) else list(facts.datasets)
    data.base_model = None if facts.base_model == NONE else facts.base_model
    if scores:
        data.model_name = name.rpartition("/")[2]
        data.metrics = sorted({_METRICS.get(metric, metric) for each in scores.values() for metric in each.metrics})
        data.eval_results = [
            result for split, each in scores.items() for result in _results(split, each, facts, signature)
        ]
        card.text = f"{card.text.partition(_SCORES)[0].rstrip()}\n\n{_in_words(scores, signature)}"
    return str(card)


def _read(text: str) -> "ModelCard":
    """Reads a card, which somebody may have edited.

    Raises:
        ConfigError: its metadata cannot be read.
    """
    from huggingface_hub import ModelCard

    try:
        return ModelCard(text)
    except Exception as error:  # the library's own for some faults, those of its reader of YAML for others
        problem = " ".join(str(error).split())
        raise ConfigError(
            f"README.md: its metadata cannot be read: {problem}", hint="mend or remove the file"
        ) from error


def export_card_text(agreement: JsonObject, signature: ModelSignature) -> str:
    """Returns the card of an export that comes without one.

    Args:
        agreement: what its proof found.
        signature: of the model.
    """
    form = str(agreement["format"])
    inputs = "pairs of texts" if signature.is_pair else "single texts"
    outputs = (
        f"labels in this order: {', '.join(map(as_page_text, signature.labels))}" if signature.labels else "one value"
    )
    return "\n".join(
        [
            f"---\nlibrary_name: {_LIBRARIES.get(form, 'bertune')}",
            "pipeline_tag: text-classification\ntags:\n- text-classification\n---\n",
            f"# {as_page_text(signature.task or 'Text classifier')}\n",
            f"A fine-tuned classifier in the format `{form}`, exported by bertune.\n",
            f"- takes {inputs} of at most {signature.max_length} tokens together; gives {outputs}",
            f"- longer texts: {signature.long_text_account()}",
            f"- probabilities: {agreement['probabilities']}" if agreement.get("probabilities") else "",
            f"- proof: its logits equal those of the model that was trained on {agreement['rows']:,} rows; "
            f"they differ by at most {agreement['max_difference']:.1e} (`agreement.json`)\n",
        ]
    )


def _results(split: str, scores: SavedScores, facts: CardFacts, signature: ModelSignature) -> "list[EvalResult]":
    """Gives each metric as an entry of a model index, with its interval in the metric's name."""
    from huggingface_hub import EvalResult

    published = facts.datasets[0] if facts.datasets != (NONE,) else None
    return [
        EvalResult(
            task_type="text-classification",
            task_name="Text Classification",
            dataset_type=published or _UNPUBLISHED,
            dataset_name=published or signature.task or "data that are not published",
            dataset_split=split,
            metric_type=_METRICS.get(metric, metric),
            metric_value=score.value,
            metric_name=f"{metric_name(metric, scores.label_names)} "
            f"(95 % interval {metric_interval(metric, score.low, score.high)}, {scores.rows:,} rows)",
        )
        for metric, score in scores.metrics.items()
    ]


def _in_words(scores: dict[str, SavedScores], signature: ModelSignature) -> str:
    lines = [_SCORES]
    for split, each in scores.items():
        if split == "cross_validation":
            told = "each answered by a model that did not learn from it; this model learned from all of them"
            lines.append(f"Cross-validated on {each.rows:,} training rows, {told}:\n")
        else:
            chosen = "; the epoch was chosen by these rows" if split == "validation" else ""
            lines.append(f"On {each.rows:,} rows of the {split} data{chosen}:\n")
        for metric, score in each.metrics.items():
            baseline = f"the {each.baseline.kind} baseline has {metric_text(metric, score.baseline)}"
            low, high = (metric_text(metric, end) for end in (score.low, score.high))
            named = f"{as_page_text(metric_name(metric, each.label_names))} {metric_text(metric, score.value)}"
            lines.append(f"- {named}, with 95 % confidence between {low} and {high}; {baseline}")
        lines.append("")
    if signature.thresholds:
        lines.append(
            "They are scores of labels by the thresholds above, which bertune uses and other programs do not.\n"
        )
    return "\n".join(lines)
