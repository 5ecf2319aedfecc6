"""Runs models over given tokens: what needs a model is measured here and written to files, which analyses read."""
