"""`--model hybrid`: graphs of stages, presets, buffers between runs."""
