"""Text that a language model writes by itself: what it knows, without any data.

Sampled from the beginning-of-sequence token at temperature 1, text is distributed as the model believes its
pretraining text to be. Retention on it holds the model where it learnt, not only on the sentences that
alignment trains on (experiments/recipe: less forgetting and more alignment at the same weight).
"""

import copy
import hashlib
import json
from pathlib import Path

import torch
from torch import nn
from transformers import GenerationConfig

from xalign.cache import cache_dir, cached_dir
from xalign.evaluation.progress import progress_bar
from xalign.models.backbone import Backbone
from xalign.models.fingerprint import model_fingerprint

COUNT = 128
"""Texts written. A run draws from them again and again, but looks at other positions each time."""

BATCH = 64
"""Texts written side by side."""

SPACE = 10_000_000
"""Bytes that must be free on the cache's disk."""


def own_texts(backbone: Backbone, length: int, seed: int) -> list[str]:
    """Texts of at most `length` tokens, written once for each model and kept in the cache.

    Raises:
        ArtifactError: the cache cannot be written.
    """
    key = {
        "model": model_fingerprint(backbone.model, backbone.tokenizer),
        "count": COUNT,
        "length": length,
        "seed": seed,
        "dtype": str(backbone.compute_dtype),
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()

    def build(folder: Path) -> None:
        texts = _write(backbone, length, seed)
        (folder / "texts.json").write_text(json.dumps(texts, ensure_ascii=False, indent=0), encoding="utf-8")

    folder = cached_dir(cache_dir() / "own_texts" / name, build, "text by the model itself", SPACE)
    texts: list[str] = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    return texts


def _write(backbone: Backbone, length: int, seed: int) -> list[str]:
    tokenizer = backbone.tokenizer
    # In a copy that has the arithmetic of training: to round a large head anew for every token would
    # take longer than all the rest.
    model = copy.deepcopy(backbone.model).eval()
    nn.Module.to(model, dtype=backbone.compute_dtype)
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    options = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else first,
    )
    texts: list[str] = []
    with torch.random.fork_rng(), torch.no_grad(), progress_bar("the model's own text", COUNT) as advance:
        torch.manual_seed(seed)
        while len(texts) < COUNT:
            ids = torch.full((min(BATCH, COUNT - len(texts)), 1), first, device=backbone.device)
            written = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=options)
            texts += tokenizer.batch_decode(written, skip_special_tokens=True)
            advance(len(ids))
    return [text for text in texts if text.strip()]
