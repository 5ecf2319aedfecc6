"""`--model guided`: base and oracle, here or on a server."""
