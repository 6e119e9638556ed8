"""AdamWeightDecay and its schedules, with the arithmetic of tf-models-official."""
