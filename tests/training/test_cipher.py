"""A cipher as second language: alignment must be learnt from true pairs, and only from them."""

import numpy as np
import pytest
from tiny import tiny_backbone
from training_helpers import PADDED, small_config

from xalign.config.choices import Pooling
from xalign.data.collate import tokenize
from xalign.data.datamodule import StepBatches
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.data.sampling import PairSampler
from xalign.data.step import Material
from xalign.evaluation.engine.similarity import retrieval_hits, similarities
from xalign.models import adapters
from xalign.models.backbone import evaluating
from xalign.training import gradients
from xalign.training.accumulate import accumulate
from xalign.training.module import AlignedModel
from xalign.training.optimizer import adamw
from xalign.training.prepare import make_objectives

PLAIN, CIPHER = "abcdefghijklm", "nopqrstuvwxyz"
HELD_OUT = 50


def sentences(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list(PLAIN), size=rng.integers(8, 16))) for _ in range(count)]


def retrieval_after_training(shuffled: bool, steps: int = 150) -> tuple[float, float]:
    """Retrieval@1 on held-out sentences before and after contrastive training."""
    texts = sentences(400)
    translated = [t.translate(str.maketrans(PLAIN, CIPHER)) for t in texts]
    test = list(zip(texts[:HELD_OUT], translated[:HELD_OUT], strict=True))
    targets = translated[HELD_OUT:]
    if shuffled:
        targets = [targets[i] for i in np.random.default_rng(1).permutation(len(targets))]
    rows = [Row("cipher", {"en": x, "fr": y}) for x, y in zip(texts[HELD_OUT:], targets, strict=True)]
    config = small_config(
        "languages.targets=[fr]", "loss=contrastive", "loss.retention_weight=0", "adapter=full",
        "loss.tau=0.1", "optimizer.lr=3e-3", "trainer.batch_size=32", "trainer.languages_per_batch=1",
    )  # fmt: skip
    backbone = tiny_backbone("llama")
    adapter = adapters.attach(backbone, config.adapter)
    module = AlignedModel(backbone, adapter, make_objectives(config, backbone, 2), config)
    corpus = ParallelCorpus.from_rows(rows, "cipher")
    pairs = PairSampler(corpus, "en", ["fr"], batch_size=32, languages_per_batch=1, temperature=1.0, seed=0)
    material = Material(backbone.tokenizer, pairs, 0, config.trainer.max_length)
    batches = StepBatches(material, module.objectives, 0, 1, arrangement=PADDED)

    def score() -> float:
        with evaluating(backbone):
            sides = [
                backbone.represent(tokenize(backbone.tokenizer, list(side), 64), 2, Pooling.mean)
                for side in zip(*test, strict=True)
            ]
        similarity = next(iter(similarities(sides[0][:, None], sides[1][:, None], centred=True)))
        forward, backward = retrieval_hits(similarity)
        return float((forward.float().mean() + backward.float().mean()) / 2)

    before = score()
    optimizer = adamw(backbone, config.optimizer)
    module.train()
    for step in range(steps):
        optimizer.zero_grad()
        accumulate(module.objectives["contrastive"], module.run(step), batches[step].parts["contrastive"])
        found = gradients.of(module.trained)
        gradients.scale_(found, min(1.0, 1.0 / float(gradients.norm(found))))
        optimizer.step()
    return before, score()


def test_true_pairs_align_unseen_sentences() -> None:
    before, after = retrieval_after_training(shuffled=False)
    assert before < 0.2
    assert after > 0.9


def test_shuffled_pairs_leave_retrieval_at_chance() -> None:
    _, after = retrieval_after_training(shuffled=True)
    assert after == pytest.approx(1 / HELD_OUT, abs=0.08)
