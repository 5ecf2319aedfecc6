"""One description a decoding method, and how methods are looked up."""
