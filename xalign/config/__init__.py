"""What can be configured: the schema that all share, its choices, and messages about keys."""
