"""What objectives begin with: sentence vectors of the model before training, at every layer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from xalign.base.progress import progress_bar
from xalign.config.choices import Pooling
from xalign.data.collate import tokenize
from xalign.data.sampling import PairSampler, text_of
from xalign.models.backbone import Backbone, evaluating
from xalign.objectives.base import Needs

FILE = "vectors.safetensors"
AT_ONCE = 16
"""Sentences of a pass: the states of all layers are held."""


def vectors_before(
    backbone: Backbone, pairs: PairSampler, needs: Sequence[Needs], max_length: int
) -> dict[str, Tensor]:
    """Language -> vectors of translation pairs at every layer (2, n, L + 1, D), mean pooled, float32, of as
    many as the objective that wants most; nothing where none wants any."""
    count = max((own.begins_with for own in needs), default=0)
    if not count:
        return {}
    found = {}
    with evaluating(backbone), progress_bar("language vectors", 2 * count * len(pairs.targets)) as advance:
        for language in pairs.targets:
            rows = pairs.rows[language]
            rng = np.random.default_rng([pairs.seed, crc32(language.encode())])
            chosen = [int(row) for row in rows[rng.permutation(len(rows))[:count]]]
            sides = []
            for code in (pairs.pivot, language):
                texts = [text_of(pairs.corpus, code, row) for row in chosen]
                parts = []
                for start in range(0, len(texts), AT_ONCE):
                    tokens = tokenize(backbone.tokenizer, texts[start : start + AT_ONCE], max_length)
                    parts.append(
                        backbone.represent_all_layers(tokens.to(backbone.device), Pooling.mean).cpu()
                    )
                    advance(len(parts[-1]))
                sides.append(torch.cat(parts))
            found[language] = torch.stack(sides)
    return found


def write_vectors(folder: Path, vectors: Mapping[str, Tensor]) -> None:
    """Keep them for the other ranks."""
    save_file(dict(vectors), folder / FILE)


def read_vectors(folder: Path) -> dict[str, Tensor]:
    """What the first process has kept."""
    return load_file(folder / FILE)
