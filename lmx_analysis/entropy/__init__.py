"""What entropies and probabilities that were measured say: tables, tests and pictures from files, without a model."""
