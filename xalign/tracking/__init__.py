"""Where people look at runs besides their folders: W&B, TensorBoard."""
