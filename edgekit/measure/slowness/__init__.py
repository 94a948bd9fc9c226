"""Why a variant is as fast, or as slow, as it is."""
