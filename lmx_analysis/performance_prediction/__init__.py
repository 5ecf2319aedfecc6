"""Predicting a model's score on a task from the task's instruction: build, combine, train, aggregate.

Files in, files out: results of lm_eval become a data set of tasks (`build`, `combine`), predictors are tried on it
under a protocol (`train`), and their predictions are judged (`aggregate`). See docs/analyses/performance_prediction.md.
"""
