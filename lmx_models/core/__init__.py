"""What every part of decoding speaks: feeds, sampling, stopping, traces, completions. It imports no other room."""
