"""From text to token ids, exactly as Google's FullTokenizer. No torch."""
