"""Runs models for many decoders at once: the scheduler, the step model, the slot cache and attention over it."""
