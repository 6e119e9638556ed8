"""Fine-tuned models in the files of other runtimes, each proved equal before it is kept."""
