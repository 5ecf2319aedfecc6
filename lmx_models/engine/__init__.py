"""What runs decoders: batched forwards over a cache of slots, a scheduler, sampling."""
