"""The measurement behind `lmx entropy`: inputs, ids, parts on disk, models one after another."""
