"""What is kept of a run: the journal, traces, statistics, and the identity of what wrote a text."""
