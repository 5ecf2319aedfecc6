"""Training of what lmx ships; not part of the package."""
