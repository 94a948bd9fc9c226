"""16-bit floats: which nodes can compute in them, and what must not be rounded."""
