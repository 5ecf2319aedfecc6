"""Scores logged samples again as lm_eval would, by the task on its logged documents or by metrics that a user names."""
