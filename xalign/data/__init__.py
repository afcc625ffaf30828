"""Parallel text and instructions: reading, cleaning, splitting, sampling, tokens, batches."""
