"""A tiny model trained on a language and ciphers of it: what an objective does to sentences never seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from tiny import tiny_backbone
from torch import Tensor
from training_helpers import PADDED, begin, small_config

from xalign.config.choices import Pooling
from xalign.data.collate import tokenize
from xalign.data.datamodule import StepBatches
from xalign.data.instructions import load_instructions
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.data.sampling import sampler_of
from xalign.data.step import Material
from xalign.data.transforms.chain import chain_of
from xalign.evaluation.engine.similarity import retrieval_hits, similarities
from xalign.models import adapters
from xalign.models.backbone import evaluating
from xalign.models.dropout import enter_training
from xalign.training import gradients
from xalign.training.accumulate import accumulate
from xalign.training.module import AlignedModel
from xalign.training.optimizer import adamw
from xalign.training.prepare import make_objectives

PLAIN = "abcdefghijklm"
CIPHERS = {"fr": "nopqrstuvwxyz", "de": "NOPQRSTUVWXYZ"}
HELD_OUT = 50
LAYER = 2


def sentences(count: int, seed: int = 0, words: bool = False) -> list[str]:
    """Letters without a meaning; or several of two dozen words."""
    rng = np.random.default_rng(seed)
    if words:
        known = ["".join(rng.choice(list(PLAIN), size=3)) for _ in range(24)]
        return [" ".join(rng.choice(known, size=rng.integers(3, 7))) for _ in range(count)]
    return ["".join(rng.choice(list(PLAIN), size=rng.integers(8, 16))) for _ in range(count)]


def in_cipher(text: str, language: str) -> str:
    return text if language == "en" else text.translate(str.maketrans(PLAIN, CIPHERS[language]))


@dataclass
class OnCipher:
    """A tiny model with objectives, `train()`ed on pairs of plain text and cipher."""

    overrides: Sequence[str]
    languages: Sequence[str] = ("fr",)
    shuffled: bool = False
    """Whether the pairs are no translations."""
    rate: float = 3e-3
    words: bool = False
    """Whether sentences are made of words that occur in others."""
    losses: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts = list(dict.fromkeys(sentences(400, words=self.words)))
        self.held_out = texts[:HELD_OUT]
        texts = texts[HELD_OUT:]
        order = np.random.default_rng(1).permutation(len(texts)) if self.shuffled else np.arange(len(texts))
        rows = [
            Row("cipher", {"en": text, **{code: in_cipher(texts[i], code) for code in self.languages}})
            for text, i in zip(texts, order, strict=True)
        ]
        config = small_config(
            f"languages.targets=[{','.join(self.languages)}]", "adapter=full", f"optimizer.lr={self.rate}",
            f"trainer.languages_per_batch={len(self.languages)}", "trainer.batch_size=32",
            "trainer.instruction_batch_size=4", *self.overrides,
        )  # fmt: skip
        self.backbone = tiny_backbone("llama")
        adapter = adapters.attach(self.backbone, config.adapter)
        objectives = make_objectives(config, self.backbone, LAYER)
        retained = any(objective.needs.reference for objective in objectives.values())
        reference = adapter.reference() if retained else None
        self.module = AlignedModel(self.backbone, adapter, objectives, config, reference)
        enter_training(self.backbone, dropout=False)
        corpus = ParallelCorpus.from_rows(rows, "cipher")
        begin(config, self.backbone, objectives, corpus)
        instructions = None
        if any(objective.needs.instructions for objective in objectives.values()):
            instructions = load_instructions(config.instructions, config.languages, corpus, config.seed)
        self.material = Material(
            self.backbone.tokenizer, sampler_of(config, corpus), 0, config.trainer.max_length,
            instructions=instructions, transforms=chain_of(config, corpus),
        )  # fmt: skip

    def train(self, steps: int) -> "OnCipher":
        module, config = self.module, self.module.config
        batches = StepBatches(self.material, module.objectives, 0, 1, arrangement=PADDED)
        optimizer = adamw(module, config.optimizer)
        for step in range(steps):
            parts = []
            for name, part in batches[step].parts.items():
                optimizer.zero_grad()
                value, _ = accumulate(module.objectives[name], module.run(step), part)
                self.losses.setdefault(name, []).append(value)
                own = gradients.of(module.trained)
                norm = float(gradients.norm(own))
                gradients.scale_(own, config.loss.objectives[name].weight * min(1.0, 1 / max(norm, 1e-12)))
                parts.append(own)
            for parameter, gradient in zip(module.trained, gradients.add_(parts), strict=True):
                parameter.grad = gradient
            optimizer.step()
        return self

    def vectors(self, language: str, layer: int = LAYER) -> Tensor:
        """Of the held-out sentences (N, D)."""
        texts = [in_cipher(text, language) for text in self.held_out]
        with evaluating(self.backbone):
            return self.backbone.represent(tokenize(self.backbone.tokenizer, texts, 64), layer, Pooling.mean)

    def retrieval(self, language: str = "fr", layer: int = LAYER) -> float:
        """Retrieval@1 of held-out sentences, centred, mean of both directions."""
        sides = [self.vectors(code, layer)[:, None] for code in ("en", language)]
        forward, backward = retrieval_hits(next(iter(similarities(*sides, centred=True))))
        return float((forward.float().mean() + backward.float().mean()) / 2)


def probe_accuracy(model: OnCipher, languages: Sequence[str], layer: int = LAYER) -> float:
    """A new linear probe for the language, on every second held-out sentence, tested on the others."""
    from sklearn.linear_model import LogisticRegression

    vectors = torch.stack([model.vectors(code, layer) for code in languages]).numpy()
    labels = np.repeat(np.arange(len(languages))[:, None], HELD_OUT, 1)
    fit, test = (
        (vectors[:, start::2].reshape(-1, vectors.shape[2]), labels[:, start::2].ravel()) for start in (0, 1)
    )
    scale = fit[0].std()
    probe = LogisticRegression(max_iter=1000).fit(fit[0] / scale, fit[1])
    return float(probe.score(test[0] / scale, test[1]))
