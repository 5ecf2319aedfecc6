"""Decoders that run others one after another: hybrid graphs and iterative improvement."""
