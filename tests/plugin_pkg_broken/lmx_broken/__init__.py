"""Imports well; what it offers does not."""
