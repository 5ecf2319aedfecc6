"""Which models there are and how their weights are found and loaded."""
