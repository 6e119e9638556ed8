"""What sits on an encoder: pooling, the classifier, losses."""
