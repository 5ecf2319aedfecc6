"""Decoding methods as generator functions over one sequence: tokens in, tokens and a trace out."""
