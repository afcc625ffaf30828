"""The training batches, one a step, each a pure function of (seed, step, rank): resuming repeats them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from xalign import collectives
from xalign.config import Config
from xalign.data.collate import Arrangement, Buckets, arrange, encode, instruction_rows
from xalign.data.instructions import InstructionSampler
from xalign.data.parallel import ParallelCorpus
from xalign.data.prefetch import Prefetched
from xalign.data.sampling import Pair, PairSampler, part_of_rank
from xalign.data.token_cache import TokenTable, token_table


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


class StepBatches:
    """Item `step` is the batch of that step.

    Sentences come as the ids of `tokens`. Instructions and the texts of retention are tokenised as they are
    drawn: they are made of parts whose ids side by side are not the ids of the whole, and of the same pair
    there are too many to make them all beforehand.
    """

    def __init__(
        self,
        config: Config,
        tokenizer: PreTrainedTokenizerBase,
        pairs: PairSampler,
        instructions: InstructionSampler,
        rank: int,
        ranks: int,
        own_texts: Sequence[str] = (),
        *,
        arrangement: Arrangement | None = None,
        tokens: TokenTable | None = None,
    ) -> None:
        self.loss, self.trainer, self.seed = config.loss, config.trainer, config.seed
        self.fixed = config.debug.fixed_batch
        self.group_of = {language: i for i, language in enumerate(sorted(pairs.targets))}
        self.tokenizer, self.pairs, self.instructions = tokenizer, pairs, instructions
        self.rank, self.ranks = rank, ranks
        self.own_texts = own_texts
        self.arrangement = arrangement or Arrangement()
        self.tokens = tokens

    def __getitem__(self, step: int) -> StepBatch:
        drawn = 0 if self.fixed else step
        shares = self.pairs.shares(drawn, self.ranks)
        pairs = part_of_rank(shares, self.rank, self.ranks)
        sentences = instructions = retention = None
        if self.loss.contrastive_weight > 0:
            sentences = self._arranged(self._sentence_rows(pairs))
        if self.loss.instruction_weight > 0:
            samples = self.instructions.batch(
                drawn, self.trainer.instruction_batch_size, self.rank, self.ranks
            )
            rows, labels = instruction_rows(self.tokenizer, samples, self.trainer.instruction_max_length)
            instructions = self._arranged(rows, labels)
        if self.loss.retention_weight > 0:
            texts = self._retention_texts([pair for share in shares for pair in share], drawn)
            retention = self._arranged(encode(self.tokenizer, texts, self.trainer.retention_max_length))
        return StepBatch(
            step=step,
            sentences=sentences,
            groups=torch.from_numpy(np.array([self.group_of[p.target_language] for p in pairs])),
            source_keys=torch.from_numpy(np.array([p.source_key for p in pairs])),
            target_keys=torch.from_numpy(np.array([p.target_key for p in pairs])),
            instructions=instructions,
            retention=retention,
        )

    def _sentence_rows(self, pairs: list[Pair]) -> list[list[int]]:
        """Token ids of the sources, then of the targets."""
        if self.tokens is None:
            texts = [p.source for p in pairs] + [p.target for p in pairs]
            return encode(self.tokenizer, texts, self.trainer.max_length)
        sources = self.tokens.ids(self.pairs.pivot, (p.row for p in pairs))
        return sources + [self.tokens.ids(p.target_language, [p.row])[0] for p in pairs]

    def _arranged(self, rows: list[list[int]], labels: list[list[int]] | None = None) -> Buckets:
        return arrange(self.tokenizer, rows, labels, arrangement=self.arrangement)

    def _retention_texts(self, pairs: list[Pair], step: int) -> list[str]:
        """This rank's part of the global batch's texts; `pairs` are those of all ranks."""
        size = self.trainer.retention_batch_size * self.ranks
        count = min(round(size * self.trainer.retention_own_fraction), len(self.own_texts))
        rng = np.random.default_rng([self.seed, step, 0])
        own = [self.own_texts[i] for i in rng.choice(len(self.own_texts), count, replace=False)]
        # By turns, so that every rank gets of both kinds.
        return (own + joined_sentences(pairs, size - count))[self.rank :: self.ranks]


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


class AlignmentData(pl.LightningDataModule):
    """Batches of pairs and instructions from the training split of a corpus.

    Raises:
        ArtifactError: the cache, where the tokens go, cannot be written.
    """

    def __init__(
        self,
        config: Config,
        tokenizer: PreTrainedTokenizerBase,
        corpus: ParallelCorpus,
        instructions: InstructionSampler,
        own_texts: Sequence[str] = (),
        *,
        arrangement: Arrangement | None = None,
    ) -> None:
        super().__init__()
        languages, trainer = config.languages, config.trainer
        self.config, self.instructions, self.own_texts = config, instructions, own_texts
        self.arrangement = arrangement
        # What measures meanwhile may set padding or truncation on the model's own tokenizer, as
        # lm-evaluation-harness does: batches made at that moment would be cut, without a word.
        self.tokenizer = tokenizer if config.validation is None else copy.deepcopy(tokenizer)
        self.pairs = PairSampler(
            corpus,
            languages.pivot,
            languages.targets,
            batch_size=trainer.batch_size,
            languages_per_batch=trainer.languages_per_batch,
            temperature=languages.temperature,
            seed=config.seed,
        )
        self.tokens: TokenTable | None = None
        if config.loss.contrastive_weight > 0:
            every_language = [languages.pivot, *languages.targets]
            self.tokens = token_table(tokenizer, corpus, every_language, trainer.max_length)
        self.loader: Prefetched[StepBatch] | None = None

    def batches(self, rank: int, ranks: int) -> StepBatches:
        """The batches of one rank."""
        return StepBatches(
            self.config,
            self.tokenizer,
            self.pairs,
            self.instructions,
            rank,
            ranks,
            self.own_texts,
            arrangement=self.arrangement,
            tokens=self.tokens,
        )

    @property
    def waited(self) -> float:
        """Seconds that training waited for the last batch."""
        return 0.0 if self.loader is None else self.loader.waited

    def train_dataloader(self) -> Prefetched[StepBatch]:
        # Called after a checkpoint, if any, has been restored, and ranks know each other.
        assert self.trainer is not None
        start = self.trainer.lightning_module.next_step
        assert isinstance(start, int)
        batches = self.batches(collectives.rank(), collectives.world_size())
        self.loader = Prefetched(batches.__getitem__, range(start, self.config.trainer.steps))
        return self.loader

    def teardown(self, stage: str) -> None:
        if self.loader is not None:
            self.loader.close()

    def on_exception(self, exception: BaseException) -> None:
        self.teardown("fit")

    def transfer_batch_to_device(
        self, batch: StepBatch, device: torch.device, dataloader_idx: int
    ) -> StepBatch:
        return batch.to(device)
