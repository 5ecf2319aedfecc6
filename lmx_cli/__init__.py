"""The `lmx` command. Nothing else may import it, and starting it imports neither torch nor transformers."""
