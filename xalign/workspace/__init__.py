"""A run's folder, what the run ran on, and what was decided for it."""
