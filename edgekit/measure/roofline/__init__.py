"""The roofline: what this machine can do, and which share of that a model reaches."""
