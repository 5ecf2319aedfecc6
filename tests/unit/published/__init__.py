"""Published algorithms in a few lines each, beside ours, token for token on the shipped tiny models."""
