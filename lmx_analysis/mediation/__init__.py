"""Which activations carry the count: effects with intervals, maps and conclusions, from measured files alone."""
