"""Align generative language models across languages after pre-training."""

__version__ = "0.1.0"
