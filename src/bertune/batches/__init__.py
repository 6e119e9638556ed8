"""From token ids to the tensors of one step."""
