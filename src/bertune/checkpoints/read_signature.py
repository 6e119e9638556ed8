"""The signature of any fine-tuned model; imports no torch."""

from pathlib import Path

from bertune.checkpoints.signature import ModelSignature
from bertune.checkpoints.transformers_classifier import is_of_transformers, signature_of
from bertune.tokenization.read_tokenizer import read_tokenizer


def read_signature(folder: Path) -> ModelSignature:
    """Returns the signature of a model folder; that of a classifier of transformers is put together from its files.

    Raises:
        CheckpointError: it cannot be read, or its labels cannot be told.
    """
    if not is_of_transformers(folder):
        return ModelSignature.read(folder)
    return signature_of(folder, tokenizer_digest=read_tokenizer(folder).digest)
