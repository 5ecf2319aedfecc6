"""Models on OpenAI-compatible servers: the wire, replies and their checks, and what a role on a server needs."""
