"""This process among others, and what they compute together."""
