"""Align generative language models across languages after pre-training."""

import logging

__version__ = "0.1.0"

# Where torchao is installed transformers imports it, and it logs which kernels it has for other machines.
for _library in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_library).setLevel(logging.ERROR)
