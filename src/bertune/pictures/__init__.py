"""Pictures of a model, of its inputs and of learning rates; matplotlib is imported here and nowhere else."""
