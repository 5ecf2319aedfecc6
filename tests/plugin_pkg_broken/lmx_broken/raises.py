"""Raises on import, as a package does whose dependency changed under it."""

raise RuntimeError("the engine is missing a bolt")
