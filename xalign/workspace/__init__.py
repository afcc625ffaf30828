"""A run's folder: what is in it, whose it is, what it was made with."""
