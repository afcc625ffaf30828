"""From composed values to the frozen config: options that stand beside their parts, and short keys."""
