"""The README.md of a model folder, with the metadata that the hub reads."""

import html
import re
from pathlib import Path
from typing import Any

from bertune.checkpoints.signature import Contract
from bertune.models.classifier import Classifier
from bertune.wording.metric_text import metric_name, metric_text
from bertune.wording.nearest import shorten

_PROBABILITIES = "- probabilities: "
_THRESHOLDS = "- thresholds: "


def card_text(classifier: Classifier, contract: Contract, scores: dict[str, Any] | None) -> str:
    """Returns the model card.

    Args:
        classifier: for its sizes and pooling.
        contract: for labels, texts and lengths.
        scores: `metrics` (name to value) and `rows` of the validation data; None leaves that part out.
    """
    config, family = classifier.encoder.config, classifier.encoder.family
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    inputs = "pairs of texts" if contract.is_pair else "single texts"
    outputs = f"labels in this order: {', '.join(map(_as_text, contract.labels))}" if contract.labels else "one value"
    origin = f" from {_as_text(contract.base_model)}" if contract.base_model else ""
    parts = [
        _front_matter(classifier, contract),
        f"# {_as_text(contract.task or 'Text classifier')}\n",
        f"A {family.name} encoder ({config.num_hidden_layers} layers, {config.hidden_size} wide, "
        f"{parameters:,} parameters) fine-tuned{origin} with bertune.\n",
        f"- takes {inputs} of at most {contract.max_length} tokens together; gives {outputs}",
        f"- longer texts: {contract.long_text_account()}",
        f"- pooling: {_pooling_text(classifier)}",
        *_answer_lines(contract),
    ]
    if scores:
        values = ", ".join(
            f"{_as_text(metric_name(name, contract.labels))} {metric_text(name, value)}"
            for name, value in scores["metrics"].items()
        )
        parts.append(f"- validation, {scores['rows']} rows: {values}")
    parts.append("\n## Use\n")
    parts.append(_usage(classifier, contract))
    return "\n".join(parts)


def with_answers_of(card: str, contract: Contract) -> str:
    """Returns a card whose lines on probabilities and thresholds are those of another contract; all else stays."""
    lines = card.split("\n")
    places = [place for place, line in enumerate(lines) if line.startswith((_PROBABILITIES, _THRESHOLDS))]
    if not places:
        return card
    rest = [line for place, line in enumerate(lines) if place not in places]
    return "\n".join([*rest[: places[0]], *_answer_lines(contract), *rest[places[0] :]])


def _answer_lines(contract: Contract) -> list[str]:
    if not contract.kind.has_labels:
        return []
    lines = [f"{_PROBABILITIES}those of the logits as they are, not calibrated"]
    if contract.folded_temperature != 1.0:
        made_by = "sigmoid" if contract.kind.has_label_sets else "softmax"
        lines = [
            f"{_PROBABILITIES}calibrated: the temperature {contract.folded_temperature:.4g}, fitted on validation "
            f"data, is folded into the head, so that the {made_by} of the logits gives them in every program"
        ]
    if contract.temperature != 1.0:
        lines = [
            f"{_PROBABILITIES}bertune divides the logits by the temperature {contract.temperature:.4g}, fitted on "
            "validation data; the weights are untouched, so probabilities in other programs, transformers among them, "
            "are not calibrated; those of `bertune export --format transformers` are"
        ]
    if contract.thresholds:
        names = contract.labels[-len(contract.thresholds) :]
        given = ", ".join(
            f"{_as_text(name)} from {low:.4g} on" for name, low in zip(names, contract.thresholds, strict=True)
        )
        usual = "each label from 0.5 on" if contract.kind.has_label_sets else "the most probable label"
        lines.append(f"{_THRESHOLDS}bertune gives {given}, chosen on validation data; other programs give {usual}")
    return lines


def _as_text(name: str) -> str:
    """Gives a name as text of a page: control characters are made visible, what would be HTML or a link is not."""
    return html.escape(shorten(name, 200), quote=False).replace("[", "\\[").replace("]", "\\]")


def _pooling_text(classifier: Classifier) -> str:
    first = "[CLS]" if classifier.encoder.family.name == "BERT" else "first token"
    pooled = first if classifier.pooling == "cls" else "mean of all tokens"
    return f"{pooled} and dense" if classifier.uses_pooler else pooled


def _front_matter(classifier: Classifier, contract: Contract) -> str:
    lines = [
        "---",
        f"library_name: {'transformers' if classifier.encoder.family.knows_pooling(classifier.pooling) else 'bertune'}",
    ]
    tag = classifier.encoder.family.model_types[0]
    lines += ["pipeline_tag: text-classification", "tags:", f"- {tag}", "- text-classification"]
    # A name of the hub, not a folder of this machine that looks like one.
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", contract.base_model) and not Path(contract.base_model).exists():
        lines.append(f"base_model: {contract.base_model}")
    return "\n".join([*lines, "---", ""])


def _usage(classifier: Classifier, contract: Contract) -> str:
    predict = "```\nbertune predict THIS_FOLDER --data FILE\n```\n"
    family = classifier.encoder.family
    if not family.knows_pooling(classifier.pooling):
        return (
            f"{predict}\ntransformers has no {family.name} classifier with mean pooling, so this folder does not load "
            "there (its `model_type` says so); fine-tune with `--pooling cls` for a folder that does.\n"
        )
    text = '{"text": "…", "text_pair": "…"}' if contract.is_pair else '"…"'
    cut = (
        "bertune truncates as in training and counts how many"
        if contract.long_text == "first"
        else "bertune reads longer texts as in training, where transformers cuts off their end and so answers otherwise"
    )
    # A table of positions ends; distances do not.
    there = "fail" if classifier.encoder.embeddings.position is not None else "are read whole"
    return (
        f"{predict}\n```python\nfrom transformers import pipeline\n\n"
        'classify = pipeline("text-classification", "THIS_FOLDER")\n'
        f"classify({text}, truncation=True, max_length={contract.max_length})\n```\n\n"
        f"Without `truncation=True`, texts of more than {classifier.encoder.config.max_positions} tokens "
        f"{there} there; {cut}.\n"
    )
