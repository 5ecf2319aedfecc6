"""Causal mediation of the count: runs a model over pairs of prompts with activations exchanged, and writes Parquet."""
