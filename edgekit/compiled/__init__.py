"""What providers compiled, in the user's cache folder: made once, found again, listed, cleared."""
