"""The folder that lm_eval searches for task files."""
