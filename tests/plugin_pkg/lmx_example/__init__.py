"""One model, one task and one metric, found by lm_eval through the entry points in pyproject.toml."""
