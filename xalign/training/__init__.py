"""Training: the Lightning module and data, gradients and how they are combined, checkpoints."""
