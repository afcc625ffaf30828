"""Retrieval and MEXA on real text and a real model equal a plain double loop, item by item.

The loop is written after the reference code of MEXA (cisnlp/MEXA: embed_extractor.py, compute_mexa.py): one
sentence at a time, no padding, similarities in float64, strict inequality; special tokens are left out.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from xalign.base.cache import cache_dir
from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.choices import Pooling
from xalign.config.schema import Config
from xalign.evaluation.engine.similarity import distinct_pairs
from xalign.evaluation.evaluate import session_of
from xalign.evaluation.sets.own_text import load_own_text
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of
from xalign.models.backbone import Backbone
from xalign.models.loading import load_model_and_tokenizer
from xalign.options.composed import benchmark_of

POOLINGS = [Pooling.weighted_mean, Pooling.last]
SENTENCES = 40

Vectors = NDArray[np.float64]


def one_at_a_time(backbone: Backbone, text: str) -> dict[Pooling, Vectors]:
    """Vectors (L + 1, D) of a sentence by itself."""
    ids = backbone.tokenizer(text)["input_ids"]
    with torch.no_grad():
        states = backbone.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    kept = [k for k, token in enumerate(ids) if token not in backbone.tokenizer.all_special_ids]
    layers = [h[0, kept].double().numpy() for h in states]
    weights = np.arange(1, len(kept) + 1)
    return {
        Pooling.weighted_mean: np.stack([(weights[:, None] * h).sum(0) / weights.sum() for h in layers]),
        Pooling.last: np.stack([h[-1] for h in layers]),
    }


def double_loop(x_ND: Vectors, y_ND: Vectors) -> tuple[list[bool], list[bool]]:
    """Whether each x finds its y, and each y its x."""

    def cosine(a: Vectors, b: Vectors) -> float:
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

    n = len(x_ND)
    s = [[cosine(x_ND[i], y_ND[j]) for j in range(n)] for i in range(n)]
    forward = [all(s[i][i] > s[i][j] for j in range(n) if j != i) for i in range(n)]
    backward = [all(s[i][i] > s[j][i] for j in range(n) if j != i) for i in range(n)]
    return forward, backward


@pytest.mark.slow
def test_every_item_is_as_in_a_plain_double_loop(shared_data: Path) -> None:
    if not list(cache_dir().glob("models/gemma3_270m-*")):
        pytest.skip("the embedded model is not in the cache")
    config = resolve(compose_config("config", []), Config)
    backbone = Backbone(*load_model_and_tokenizer(config.model, 0)).eval()
    benchmark = benchmark_of(
        name="tatoeba", tasks=["retrieval", "mexa"], path=str(shared_data / "tatoeba"), own_text=True,
        limit=SENTENCES, poolings=POOLINGS, max_length=512,
    )  # fmt: skip
    corpus, _ = load_own_text(benchmark, "en", ["de", "th"])
    session = session_of(backbone, benchmark)
    setting = Setting(benchmark, corpus, None, "en", ["de", "th"], 9, 0)
    records = {}
    for name, task in tasks_of(benchmark).items():
        for part in task.parts(setting):
            for record in part.measure(session, lambda count: None).items[f"tatoeba.{name}"]:
                records[record["language"], record["metric"], record["index"]] = record
    for language in ("de", "th"):
        pairs = distinct_pairs(corpus.pairs("en", language)[:SENTENCES])
        sides = [[one_at_a_time(backbone, pair[side]) for _, pair in pairs] for side in (0, 1)]
        for pooling in POOLINGS:
            x_NLD, y_NLD = (np.stack([vectors[pooling] for vectors in side]) for side in sides)
            for centred in ("", "_centred"):
                for layer in range(backbone.depth + 1):
                    x_ND, y_ND = x_NLD[:, layer], y_NLD[:, layer]
                    if centred:
                        x_ND, y_ND = x_ND - x_ND.mean(0), y_ND - y_ND.mean(0)
                    for (index, _), forward, backward in zip(pairs, *double_loop(x_ND, y_ND), strict=True):
                        found = records[language, f"retrieval@1{centred}_{pooling}", index]
                        where = (language, pooling, centred, layer, index)
                        assert (found["forward"][layer], found["backward"][layer]) == (forward, backward), (
                            where
                        )
                        both = records[language, f"mexa{centred}_{pooling}", index]["hits"][layer]
                        assert both == (forward and backward), where
