"""What was logged of guided runs: finding it, its text by source, the export for the published scripts."""
