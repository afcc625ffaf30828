"""The training batches, one a step, each a pure function of (seed, step, rank): resuming repeats them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedTokenizerBase

from xalign import collectives
from xalign.config import Config
from xalign.data.collate import Buckets, tokenize_in_buckets, tokenize_instructions
from xalign.data.instructions import InstructionSampler
from xalign.data.parallel import ParallelCorpus
from xalign.data.sampling import Pair, PairSampler


@dataclass(frozen=True)
class StepBatch:
    """What one optimizer step sees on one rank; parts whose objective has no weight are None.

    `sentences` holds the n source sentences, then their n translations. `groups`, `source_keys` and
    `target_keys` are (n,): target language, and numbers that are equal for equal texts.
    """

    step: int
    sentences: Buckets | None
    groups: Tensor
    source_keys: Tensor
    target_keys: Tensor
    instructions: Buckets | None
    retention: Buckets | None

    def to(self, device: torch.device) -> Self:
        def moved(part: Buckets | None) -> Buckets | None:
            return None if part is None else part.to(device)

        return type(self)(
            self.step,
            moved(self.sentences),
            self.groups.to(device),
            self.source_keys.to(device),
            self.target_keys.to(device),
            moved(self.instructions),
            moved(self.retention),
        )

    @property
    def pairs(self) -> int:
        return len(self.groups) if self.sentences is not None else 0

    @property
    def tokens(self) -> int:
        return sum(p.count for p in (self.sentences, self.instructions, self.retention) if p is not None)


class StepBatches(Dataset[StepBatch]):
    """Item `step` is the batch of that step."""

    def __init__(
        self,
        config: Config,
        tokenizer: PreTrainedTokenizerBase,
        pairs: PairSampler,
        instructions: InstructionSampler,
        rank: int,
        ranks: int,
        own_texts: Sequence[str] = (),
    ) -> None:
        self.loss, self.trainer, self.seed = config.loss, config.trainer, config.seed
        self.own_texts = own_texts
        self.fixed = config.debug.fixed_batch
        self.group_of = {language: i for i, language in enumerate(sorted(pairs.targets))}
        self.tokenizer, self.pairs, self.instructions = tokenizer, pairs, instructions
        self.rank, self.ranks = rank, ranks

    def __len__(self) -> int:
        return self.trainer.steps

    def __getitem__(self, step: int) -> StepBatch:
        drawn = 0 if self.fixed else step
        pairs = self.pairs.batch(drawn, self.rank, self.ranks)
        sentences = instructions = retention = None
        if self.loss.contrastive_weight > 0:
            texts = [p.source for p in pairs] + [p.target for p in pairs]
            sentences = tokenize_in_buckets(self.tokenizer, texts, self.trainer.max_length)
        if self.loss.instruction_weight > 0:
            samples = self.instructions.batch(
                drawn, self.trainer.instruction_batch_size, self.rank, self.ranks
            )
            instructions = tokenize_instructions(self.tokenizer, samples, self.trainer.instruction_max_length)
        if self.loss.retention_weight > 0:
            texts = self._retention_texts(pairs, drawn)
            retention = tokenize_in_buckets(self.tokenizer, texts, self.trainer.retention_max_length)
        return StepBatch(
            step=step,
            sentences=sentences,
            groups=torch.tensor([self.group_of[p.target_language] for p in pairs]),
            source_keys=torch.tensor([p.source_key for p in pairs]),
            target_keys=torch.tensor([p.target_key for p in pairs]),
            instructions=instructions,
            retention=retention,
        )

    def _retention_texts(self, pairs: list[Pair], step: int) -> list[str]:
        size = self.trainer.retention_batch_size
        count = min(round(size * self.trainer.retention_own_fraction), len(self.own_texts))
        rng = np.random.default_rng([self.seed, step, self.rank])
        own = [self.own_texts[i] for i in rng.choice(len(self.own_texts), count, replace=False)]
        return own + joined_sentences(pairs, size - count)


def joined_sentences(pairs: list[Pair], size: int, sentences: int = 3) -> list[str]:
    """`size` texts of several sentences each, by turns in the target language and in the pivot.

    Single sentences would hold the model to short contexts only; what is lost elsewhere goes unseen.
    """
    texts = []
    for index in range(size):
        side = "source" if index % 2 else "target"
        chosen = [pairs[(index * sentences + k) % len(pairs)] for k in range(sentences)]
        texts.append(" ".join(getattr(p, side) for p in chosen))
    return texts


class StepSampler:
    """Steps from the first not yet taken to the last. No length: Lightning would count to it from 0."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))


class AlignmentData(pl.LightningDataModule):
    """Batches of pairs and instructions from the training split of a corpus."""

    def __init__(
        self,
        config: Config,
        tokenizer: PreTrainedTokenizerBase,
        corpus: ParallelCorpus,
        instructions: InstructionSampler,
        own_texts: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.config, self.tokenizer, self.instructions = config, tokenizer, instructions
        self.own_texts = own_texts
        self.pairs = PairSampler(
            corpus,
            config.languages.pivot,
            config.languages.targets,
            batch_size=config.trainer.batch_size,
            languages_per_batch=config.trainer.languages_per_batch,
            temperature=config.languages.temperature,
            seed=config.seed,
        )

    def train_dataloader(self) -> DataLoader[StepBatch]:
        batches = StepBatches(
            self.config,
            self.tokenizer,
            self.pairs,
            self.instructions,
            collectives.rank(),
            collectives.world_size(),
            self.own_texts,
        )
        # Called after a checkpoint, if any, has been restored.
        assert self.trainer is not None
        start = self.trainer.lightning_module.next_step
        assert isinstance(start, int)
        sampler = StepSampler(start, self.config.trainer.steps)
        return DataLoader(batches, batch_size=None, sampler=sampler)

    def transfer_batch_to_device(
        self, batch: StepBatch, device: torch.device, dataloader_idx: int
    ) -> StepBatch:
        return batch.to(device)
