"""The training batches, one a step, each a pure function of (seed, step, rank): resuming repeats them."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import pytorch_lightning as pl
import torch
from transformers import PreTrainedTokenizerBase

from xalign.config.choices import ChatTemplate
from xalign.config.schema import Config
from xalign.data.chat import Chat
from xalign.data.collate import Arrangement
from xalign.data.instructions import InstructionSampler
from xalign.data.prefetch import Prefetched
from xalign.data.sampling import PairSampler
from xalign.data.step import Material, Part, StepBatch, StepData
from xalign.data.token_cache import token_table
from xalign.data.transforms.chain import chain_of
from xalign.distributed import collectives


class Sampler(Protocol):
    """What samples a part of each step: an objective, as far as this module is concerned."""

    def sample(self, data: StepData) -> Part: ...


Samplers = Mapping[str, Sampler]


class StepBatches:
    """Item `step` is the batch of that step on one rank: a part for each sampler that has a weight there."""

    def __init__(
        self,
        material: Material,
        samplers: Samplers,
        rank: int,
        ranks: int,
        *,
        arrangement: Arrangement,
        active: Callable[[str, int], bool] = lambda name, step: True,
        fixed: bool = False,
    ) -> None:
        self.material, self.samplers = material, samplers
        self.rank, self.ranks = rank, ranks
        self.arrangement, self.active, self.fixed = arrangement, active, fixed

    def __getitem__(self, step: int) -> StepBatch:
        data = StepData(self.material, self.arrangement, 0 if self.fixed else step, self.rank, self.ranks)
        parts = {name: own.sample(data) for name, own in self.samplers.items() if self.active(name, step)}
        return StepBatch(step, parts)


class AlignmentData(pl.LightningDataModule):
    """Batches of what objectives sample from translation pairs and instructions.

    `cached_sentences` says whether any of them runs translation pairs: the corpus's sentences are then
    tokenised once, into the cache.

    Raises:
        ArtifactError: the cache cannot be written.
    """

    def __init__(
        self,
        config: Config,
        tokenizer: PreTrainedTokenizerBase,
        pairs: PairSampler,
        samplers: Samplers,
        *,
        instructions: InstructionSampler | None = None,
        own_texts: Sequence[str] = (),
        arrangement: Arrangement | None = None,
        cached_sentences: bool = True,
    ) -> None:
        super().__init__()
        languages, trainer = config.languages, config.trainer
        self.config, self.samplers = config, samplers
        self.arrangement = arrangement or Arrangement()
        tokens = None
        if cached_sentences:
            every_language = [languages.pivot, *languages.targets]
            tokens = token_table(tokenizer, pairs.corpus, every_language, trainer.max_length)
        # What measures meanwhile may set padding or truncation on the model's own tokenizer, as
        # lm-evaluation-harness does: batches made at that moment would be cut, without a word.
        own = tokenizer if config.validation is None else copy.deepcopy(tokenizer)
        is_chat = config.instructions.template is ChatTemplate.chat
        self.material = Material(
            tokenizer=own,
            pairs=pairs,
            seed=config.seed,
            sentence_length=trainer.max_length,
            tokens=tokens,
            instructions=instructions,
            own_texts=own_texts,
            chat=Chat(own, config.instructions.system) if is_chat else None,
            transforms=chain_of(config, pairs.corpus),
        )
        self.loader: Prefetched[StepBatch] | None = None

    def batches(self, rank: int, ranks: int) -> StepBatches:
        """The batches of one rank."""
        return StepBatches(
            self.material,
            self.samplers,
            rank,
            ranks,
            arrangement=self.arrangement,
            active=self._active,
            fixed=self.config.debug.fixed_batch,
        )

    def _active(self, name: str, step: int) -> bool:
        return self.config.loss.objectives[name].weight_at(step, self.config.trainer.steps) > 0

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
