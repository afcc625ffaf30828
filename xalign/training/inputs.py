"""What training needs besides the config: made alike by a run's only process and by each of several ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import torch

from xalign.choices import OptimizerKind, StrategyName
from xalign.config import Config
from xalign.data.collate import PACKED, Arrangement
from xalign.data.instructions import InstructionSampler, load_instructions
from xalign.data.parallel import Splits
from xalign.evaluation.task import Setting
from xalign.memory import micro_batch_of
from xalign.models import adapters
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone
from xalign.models.dropout import dropout_of, enter_training
from xalign.models.own_text import own_texts
from xalign.models.packing import packs_exactly
from xalign.models.reference import Reference
from xalign.objectives import OBJECTIVES
from xalign.objectives.base import Objective, Setup
from xalign.training.callbacks.evaluate import validation_setting
from xalign.training.passes import mixed_seed
from xalign.workspace.decisions import Decisions


@dataclass(frozen=True)
class TrainingInputs:
    """The model with its trainable parts, and everything that batches and measurements are made of."""

    backbone: Backbone
    adapter: Adapter
    objectives: Mapping[str, Objective]
    reference: Reference | None
    """The model before training, where an objective runs it."""
    splits: Splits
    instructions: InstructionSampler | None
    own_texts: Sequence[str]
    """Texts that the model wrote before training."""
    layer: int
    arrangement: Arrangement
    validation: Setting | None


def training_inputs(
    config: Config,
    backbone: Backbone,
    splits: Splits,
    layer: int,
    dtype: torch.dtype,
    decisions: Decisions,
    *,
    micro_batch: int | None = None,
    write_own_texts: bool = True,
) -> TrainingInputs:
    """Make them; the backbone gets its adapters, computes in `dtype` and is in training from here on.

    `micro_batch` is what this run chose before: other sums in another order would round differently. A plan
    does without the texts that the model would write, which take long and are of the length of the others.

    Raises:
        ConfigError: instructions or adapters cannot be made as configured.
        DataError: a file cannot be read.
    """
    backbone.compute_dtype = dtype
    chosen = make_objectives(config, backbone, layer)
    needs = {name: objective.needs for name, objective in chosen.items()}
    lengths = [n.own_text for n in needs.values() if n.own_text is not None]
    # Before there are adapters: what it writes is what it was.
    texts = own_texts(backbone, max(lengths), config.seed) if lengths and write_own_texts else []
    packed = packs_exactly(backbone)
    adapter = adapters.attach(backbone, config.adapter, config.seed)
    if config.strategy.name is StrategyName.fsdp and adapter.trains_model:
        decisions.add("gradients of embeddings", "dense", "strategy=fsdp sums shards of them over ranks")
    if config.optimizer.kind is OptimizerKind.adamw_bf16:
        backbone.keep_low()
    reference = adapter.reference() if any(n.reference for n in needs.values()) else None
    if config.trainer.activation_checkpointing:
        backbone.checkpoint_activations()
    if config.trainer.compile:
        backbone.compile_blocks()
    if dropout := dropout_of(backbone.model.config):
        told = ", ".join(f"{name} {value:g}" for name, value in dropout.items())
        decisions.add(
            "dropout", "on" if config.trainer.dropout else "off", f"trainer.dropout; of the model: {told}"
        )
    enter_training(backbone, dropout=config.trainer.dropout)
    if micro_batch is None:
        micro_batch = micro_batch_of(config, backbone, chosen, reference, decisions)
    instructions = None
    if any(n.instructions for n in needs.values()):
        instructions = load_instructions(config.instructions, config.languages, splits.train, config.seed)
    return TrainingInputs(
        backbone,
        adapter,
        chosen,
        reference,
        splits,
        instructions,
        texts,
        layer,
        Arrangement(packed, micro_batch, backbone.context or PACKED),
        validation_setting(config, splits, layer),
    )


def make_objectives(config: Config, backbone: Backbone, layer: int) -> dict[str, Objective]:
    """The configured objectives by name, on the backbone's device; their own parameters are drawn from the
    seed."""
    head = backbone.model.get_output_embeddings().weight
    assert isinstance(head, torch.Tensor)
    setup = Setup(
        depth=backbone.depth,
        width=head.shape[1],
        vocabulary=head.shape[0],
        layer=layer,
        languages=(config.languages.pivot, *config.languages.targets),
        seed=config.seed,
        pairs=config.trainer.batch_size,
        sentence_length=config.trainer.max_length,
    )
    made: dict[str, Objective] = {}
    for name, own in config.loss.objectives.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(config.seed, crc32(name.encode())))
            objective = OBJECTIVES.load(own.kind)(own, setup)
        if objective.own is not None:
            objective.own.to(backbone.device)
        made[name] = objective
    return made
