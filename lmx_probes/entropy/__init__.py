"""Measuring entropy: inputs, generation, scores and hidden states, kept part by part."""
