"""bertune fine-tunes BERT-family encoders on texts and text pairs."""

__version__ = "0.1.0"
