"""The files of a run: finding, reading by schema, counting, and joining samples with their traces."""
