"""Real data that registry packages ship, so that training and testing need no network."""
