"""Measure models: latency beside the original, quality on held-out data, memory, cold start."""
