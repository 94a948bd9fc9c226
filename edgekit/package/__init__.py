"""The model package on disk: its values, its manifest, how it is written and read."""
