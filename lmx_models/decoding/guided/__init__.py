"""A small model that an oracle helps: the loop, its oracles, and the policies that decide when."""
