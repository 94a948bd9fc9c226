"""Q/DQ around the nodes that compute in integers."""
