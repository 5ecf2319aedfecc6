"""The one room that runs a model over given tokens: what it computes there, and what follows when that is changed."""
