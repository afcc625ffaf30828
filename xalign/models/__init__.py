"""The language model: loading, hidden states after any block, adapters, generation, export."""
