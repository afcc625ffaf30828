"""What a tokenizer does, as a text."""

import json
from typing import Any

from transformers import PreTrainedTokenizerBase


def tokenizer_state(tokenizer: PreTrainedTokenizerBase) -> str:
    """A text that differs wherever two tokenizers could: part of cache keys."""
    ids = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id]
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps([type(tokenizer).__name__, ids, tokenizer.get_vocab()], sort_keys=True)
    # The last call's padding and truncation are kept in the backend; they are not part of the model.
    padding, truncation = backend.padding, backend.truncation
    backend.no_padding()
    backend.no_truncation()
    state = f"{ids} {backend.to_str()}"
    if padding is not None:
        backend.enable_padding(**padding)
    if truncation is not None:
        backend.enable_truncation(**truncation)
    return state
