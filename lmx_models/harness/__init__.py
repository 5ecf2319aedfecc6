"""What meets lm_eval: the base classes of models, likelihoods, ranks, resuming."""
