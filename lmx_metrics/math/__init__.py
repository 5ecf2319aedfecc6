"""Answers to mathematical problems: where they stand in a text, and whether two of them mean the same."""
