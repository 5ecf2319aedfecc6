"""Predictors that learn by gradient, or read with a model: encoders, decoders with LoRA, sentence embeddings."""
