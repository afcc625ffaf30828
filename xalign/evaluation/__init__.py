"""Measuring a model: tasks, what they ask, how a model is run for them, statistics of what comes out."""
