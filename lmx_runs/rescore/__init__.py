"""Scores logged samples again as lm_eval would: tasks loaded on their logged documents, or metrics that a user names."""
