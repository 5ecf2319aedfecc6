"""Decoding methods as generator functions: one sequence each, no batches, no caches, no tokenizer files."""
