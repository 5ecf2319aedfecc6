"""The decoder my_two_models; its model is named for lm_eval by the entry point in pyproject.toml."""
