"""The README.md of a model folder, with the metadata that the hub reads."""

import html
import re
from pathlib import Path
from typing import Any

from bertune.checkpoints.signature import ModelSignature
from bertune.models.classifier import Classifier
from bertune.wording.metric_text import metric_name, metric_text
from bertune.wording.nearest import shorten

_PROBABILITIES = "- probabilities: "
_THRESHOLDS = "- thresholds: "


def card_text(classifier: Classifier, signature: ModelSignature, scores: dict[str, Any] | None) -> str:
    """Returns the model card.

    Args:
        classifier: for its sizes and pooling.
        signature: for labels, texts and lengths.
        scores: `metrics` (name to value) and `rows` of the validation data; `of` says it where they are of other rows.
            None leaves that part out.
    """
    config, family = classifier.encoder.config, classifier.encoder.family
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    inputs = "pairs of texts" if signature.is_pair else "single texts"
    outputs = (
        f"labels in this order: {', '.join(map(as_page_text, signature.labels))}" if signature.labels else "one value"
    )
    origin = f" from {as_page_text(signature.base_model)}" if signature.base_model else ""
    parts = [
        _front_matter(classifier, signature),
        f"# {as_page_text(signature.task or 'Text classifier')}\n",
        f"A {family.name} encoder ({config.num_hidden_layers} layers, {config.hidden_size} wide, "
        f"{parameters:,} parameters) fine-tuned{origin} with bertune.\n",
        f"- takes {inputs} of at most {signature.max_length} tokens together; gives {outputs}",
        f"- longer texts: {signature.long_text_account()}",
        f"- pooling: {_pooling_text(classifier)}",
        *([f"- trained: {as_page_text(signature.trained)}"] if signature.trained else []),
        *_answer_lines(signature),
    ]
    if scores:
        values = ", ".join(
            f"{as_page_text(metric_name(name, signature.labels))} {metric_text(name, value)}"
            for name, value in scores["metrics"].items()
        )
        parts.append(f"- {scores.get('of', 'validation')}, {scores['rows']} rows: {values}")
    parts.append("\n## Use\n")
    parts.append(_usage(classifier, signature))
    return "\n".join(parts)


def hub_name(model: str) -> str | None:
    """Returns the name that a model has on the hub; None for a folder of this machine, even if it looks like one."""
    return model if re.fullmatch(r"\w[\w.-]*/[\w.-]+", model) and not Path(model).exists() else None


def with_answers_of(card: str, signature: ModelSignature) -> str:
    """Returns a card whose lines on probabilities and thresholds are those of another signature; all else stays."""
    lines = card.split("\n")
    places = [place for place, line in enumerate(lines) if line.startswith((_PROBABILITIES, _THRESHOLDS))]
    if not places:
        return card
    rest = [line for place, line in enumerate(lines) if place not in places]
    return "\n".join([*rest[: places[0]], *_answer_lines(signature), *rest[places[0] :]])


def _answer_lines(signature: ModelSignature) -> list[str]:
    if not signature.kind.has_labels:
        return []
    lines = [f"{_PROBABILITIES}those of the logits as they are, not calibrated"]
    if signature.folded_temperature != 1.0:
        made_by = "sigmoid" if signature.kind.has_label_sets else "softmax"
        lines = [
            f"{_PROBABILITIES}calibrated: the temperature {signature.folded_temperature:.4g}, fitted on validation "
            f"data, is folded into the head, so that the {made_by} of the logits gives them in every program"
        ]
    if signature.temperature != 1.0:
        lines = [
            f"{_PROBABILITIES}bertune divides the logits by the temperature {signature.temperature:.4g}, fitted on "
            "validation data; the weights are untouched, so probabilities in other programs, transformers among them, "
            "are not calibrated; those of `bertune export --format transformers` are"
        ]
    if signature.thresholds:
        names = signature.labels[-len(signature.thresholds) :]
        given = ", ".join(
            f"{as_page_text(name)} from {low:.4g} on" for name, low in zip(names, signature.thresholds, strict=True)
        )
        usual = "each label from 0.5 on" if signature.kind.has_label_sets else "the most probable label"
        lines.append(f"{_THRESHOLDS}bertune gives {given}, chosen on validation data; other programs give {usual}")
    return lines


def as_page_text(name: str) -> str:
    """Gives a name as text of a page: control characters are made visible, what would be HTML or a link is not."""
    return html.escape(shorten(name, 200), quote=False).replace("[", "\\[").replace("]", "\\]")


def _pooling_text(classifier: Classifier) -> str:
    first = "[CLS]" if classifier.encoder.family.name == "BERT" else "first token"
    pooled = first if classifier.pooling == "cls" else "mean of all tokens"
    return f"{pooled} and dense" if classifier.uses_pooler else pooled


def _front_matter(classifier: Classifier, signature: ModelSignature) -> str:
    lines = [
        "---",
        f"library_name: {'transformers' if classifier.encoder.family.knows_pooling(classifier.pooling) else 'bertune'}",
    ]
    tag = classifier.encoder.family.model_types[0]
    lines += ["pipeline_tag: text-classification", "tags:", f"- {tag}", "- text-classification"]
    if (name := hub_name(signature.base_model)) is not None:
        lines.append(f"base_model: {name}")
    return "\n".join([*lines, "---", ""])


def _usage(classifier: Classifier, signature: ModelSignature) -> str:
    predict = "```\nbertune predict THIS_FOLDER --data FILE\n```\n"
    family = classifier.encoder.family
    if not family.knows_pooling(classifier.pooling):
        return (
            f"{predict}\ntransformers has no {family.name} classifier with mean pooling, so this folder does not load "
            "there (its `model_type` says so); fine-tune with `--pooling cls` for a folder that does.\n"
        )
    text = '{"text": "…", "text_pair": "…"}' if signature.is_pair else '"…"'
    cut = (
        "bertune truncates as in training and counts how many"
        if signature.long_text == "first"
        else "bertune reads longer texts as in training, where transformers cuts off their end and so answers otherwise"
    )
    # A table of positions ends; distances do not.
    there = "fail" if classifier.encoder.embeddings.position is not None else "are read whole"
    return (
        f"{predict}\n```python\nfrom transformers import pipeline\n\n"
        'classify = pipeline("text-classification", "THIS_FOLDER")\n'
        f"classify({text}, truncation=True, max_length={signature.max_length})\n```\n\n"
        f"Without `truncation=True`, texts of more than {classifier.encoder.config.max_positions} tokens "
        f"{there} there; {cut}.\n"
    )
