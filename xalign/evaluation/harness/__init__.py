"""Tasks of lm-evaluation-harness, answered by our engine."""
