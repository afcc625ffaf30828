"""What a step takes, from what objectives say they run: operations, memory, and what is chosen by them."""
