"""One hash for what a model computes, so that measurements of it can be cached."""

import hashlib
import json

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from xalign.data.tokenizer_state import tokenizer_state
from xalign.models.few_bits import scales

# Says where a model came from or how it was stored, not what it computes.
_INCIDENTAL = {"architectures", "dtype", "transformers_version", "use_cache"}


def model_fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Hexadecimal sha256 over the config, the tokenizer and the name, shape and bytes of each parameter.

    Every byte is hashed: at 1.5 GB/s that costs less than loading did, and a single changed row of an
    embedding, which samples of each tensor would miss, counts. Does not depend on the device or folder.
    """
    digest = hashlib.sha256()
    config = {k: v for k, v in model.config.to_dict().items() if k not in _INCIDENTAL and k[:1] != "_"}
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    digest.update(tokenizer_state(tokenizer).encode())
    for name, value in sorted([*model.named_parameters(), *scales(model)], key=lambda named: named[0]):
        digest.update(f"\n{name} ".encode())
        _add(digest, value)
    return digest.hexdigest()


def weight_hashes(model: PreTrainedModel) -> dict[str, str]:
    """Of each parameter, and each buffer that is saved, one hash over shape, type and bytes."""
    found: dict[str, str] = {}
    known: dict[tuple[object, ...], str] = {}
    for name, value in model.state_dict().items():
        place = (value.device, value.data_ptr(), value.shape, value.stride())  # tied ones are hashed once
        if place not in known:
            digest = hashlib.sha256()
            _add(digest, value)
            known[place] = digest.hexdigest()
        found[name] = known[place]
    return found


def _add(digest: "hashlib._Hash", value: Tensor) -> None:
    digest.update(f"{list(value.shape)} {value.dtype}\n".encode())
    digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy().data)
