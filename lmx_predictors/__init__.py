"""What trains or rewrites models for performance prediction: fine-tuned predictors, embeddings, weight differences."""
