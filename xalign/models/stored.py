"""The number type in which a model's weights lie on the disk: what is read so is mapped, not copied."""

from pathlib import Path

import torch
from safetensors import safe_open

from xalign.models.sources import Source

TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
"""safetensors' names of the types that weights are trained from."""


def stored_dtype(source: Source) -> torch.dtype:
    """The type of all weights in the safetensors of a folder, or of a repository's copy here; float32 where
    they are of several types, or pickled."""
    types: set[str] = set()
    for file in sorted(Path(source.location).glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            types |= {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    return TYPES.get(types.pop(), torch.float32) if len(types) == 1 else torch.float32
