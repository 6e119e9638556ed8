"""A temperature folded into the head: calibrated probabilities in programs that know no temperature."""

from dataclasses import replace

import torch

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.models.classifier import Classifier


def with_folded_temperature(model: LoadedModel) -> LoadedModel:
    """Returns a model whose logits are those of another divided by its temperature, and whose own temperature is 1.

    Weight and bias of the dense layer are divided, so probabilities, labels and thresholds stay what they were. The
    encoder is shared. A model whose temperature is 1 is returned itself; so is every regression.

    Args:
        model: left as it is.
    """
    temperature = model.signature.temperature
    if temperature == 1.0:
        return model
    given = model.classifier
    folded = Classifier(
        given.encoder, given.num_labels, pooling=given.pooling, dropout=given.dropout.probability, draw=False
    )
    with torch.no_grad():
        for name, parameter in given.classifier.named_parameters():
            # Rounded once, from a division in float64.
            folded.classifier.get_parameter(name).data = (parameter.detach().double() / temperature).to(parameter.dtype)
    before = model.signature.folded_temperature
    signature = replace(model.signature, temperature=1.0, folded_temperature=before * temperature)
    return LoadedModel(folded, model.tokenizer, signature)


def probabilities_account(signature: ModelSignature) -> str:
    """Says of an export's signature which probabilities its logits give."""
    if not signature.kind.has_labels:
        return "none, a regression has nothing to fold"
    if signature.folded_temperature == 1.0:
        return "those of the model, whose temperature is 1"
    return f"calibrated, temperature {signature.folded_temperature:.4g} is folded into the head"
