"""Config groups of how is trained: objectives, optimizer, steps and batches, processes."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from xalign.config.choices import Combine, OptimizerKind, Precision, StrategyName
from xalign.config.parts import STRICT, Fraction, Natural, ObjectiveConfig, Positive, Weight


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What the model is trained on: objectives, each with a weight and options of its own, and how they are
    combined.

    Options of an objective are `loss.objectives.<name>.<option>`; those with an older, shorter key can be
    given by that as well, for every objective that has them.
    """

    __pydantic_config__ = STRICT

    name: str
    """Short name, used for folders and in reports."""
    objectives: dict[str, ObjectiveConfig] = field(default_factory=dict)
    """Name in the log -> options of the objective; `kind` says which it is, without it the name does."""
    layer: Natural | None = None
    """The aligned layer: representations after this block (0: embeddings); null takes half of the model's
    depth."""
    combine: Combine = Combine.clip_each
    """How the objectives' gradients are made one: `weighted_sum`, clipped as one (as published); `clip_each`,
    so that none drowns another; `pcgrad`, without the components that conflict."""

    @property
    def aligned_layer(self) -> int | None:
        """`layer`, else that of the first objective that aligns a layer of its own; None: half of the
        depth."""
        own = (objective.aligned_layer for objective in self.objectives.values())
        return self.layer if self.layer is not None else next((n for n in own if n is not None), None)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimizer, with linear warm-up and cosine decay of its learning rate."""

    __pydantic_config__ = STRICT

    name: str = "adamw"
    """Short name, used in reports."""
    kind: OptimizerKind = OptimizerKind.adamw
    """Bytes kept beside each parameter: `adamw` 8 (of embeddings that no trained head shares: for the rows
    seen so far), `adamw_8bit` 2 (bitsandbytes), `adamw_bf16` 4, with weights and gradients in bf16 too,
    rounded stochastically (torchao), `adafactor` nearly none (without `betas`, `eps`)."""
    lr: Annotated[float, Field(gt=0)] = 5e-4
    """Peak learning rate."""
    weight_decay: Weight = 0.0
    """Decoupled weight decay; never applied to biases and norms."""
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)] = field(
        default_factory=lambda: [0.9, 0.999]
    )
    """Decay rates of the first and second moments."""
    eps: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the denominator."""
    warmup_fraction: Fraction = 0.03
    """Share of the steps with linearly rising learning rate."""
    min_lr_fraction: Fraction = 0.0
    """Learning rate at the end, as a share of the peak."""


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """Length, batches, precision and bookkeeping of training."""

    __pydantic_config__ = STRICT

    steps: Positive = 100
    """Optimizer steps."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Translation pairs a step and rank: for the contrastive loss, batch_size - 1 in-batch negatives."""
    languages_per_batch: Positive = 1
    """Target languages that share a batch of pairs, in equal parts."""
    max_length: Annotated[int, Field(ge=4)] = 64
    """Tokens kept of a sentence of a pair."""
    # A string: Hydra cannot compose OmegaConf's unions.
    micro_batch: str = "auto"
    """Most tokens, padding included, of one forward and backward pass; `auto`: the most that fit."""
    activation_checkpointing: bool = False
    """Keep only each block's input for the backward pass and run the block again: less memory, more time."""
    compile: bool = False
    """torch.compile for each block: a minute at the start, then some percent a step (needs a compiler)."""
    precision: Precision = Precision.auto
    """`auto` takes bf16 where the hardware computes in it, and says why."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are scaled down to this norm; which of them, `loss.combine` says."""
    dropout: bool = False
    """Whether the model's own dropout is on while it trains. Then losses depend on how texts are divided over
    micro-batches and ranks, not by rounding alone, and so does a run that goes on in smaller parts after
    memory ran out."""
    gradient_stats_every: Positive = 10
    """Steps between logs of each objective's gradient norm and the cosine of every pair of them."""
    checkpoint_every: Positive = 25
    """Steps between checkpoints."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 10.0
    """Minutes after which a checkpoint is written all the same, at the next step."""
    evaluate_every: Positive | None = None
    """Steps between measurements of `validation` during training (and at the end); null: never."""
    select: str | None = None
    """Metric that chooses the step to export, such as `eval/heldout/retrieval@1/mean`; `harmless`: of steps
    that lost nothing significant in use, by what benchmark@validation (`use`) measures, the most aligned one,
    or, where all lost something, the one that lost in fewest figures; null: the last."""
    average_from: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the steps after which trained parameters count in a mean that takes their place at the last
    step (stochastic weight averaging; Izmailov et al. 2018); null: the last step's own."""
    max_bad_steps: Positive = 5
    """Consecutive steps with a non-finite loss or gradient after which the run stops, its state saved."""
    devices: Positive = 1
    """Processes (ranks) on each machine."""
    nodes: Positive = 1
    """Machines; more than one are set by torchrun or srun, which start the ranks on each."""
    threads: Positive | None = None
    """CPU threads a rank; null divides the cores by the ranks, and heeds a lower OMP_NUM_THREADS."""


@dataclass(frozen=True, kw_only=True)
class StrategyConfig:
    """How training spreads over devices."""

    __pydantic_config__ = STRICT

    name: StrategyName = StrategyName.single
    """One process, or data parallelism with global in-batch negatives: `ddp` with the whole model on every
    rank, `fsdp` with its matrices, their gradients and optimizer states shared out."""
    timeout_minutes: Annotated[float, Field(gt=0)] = 30.0
    """Minutes after which a rank that does not answer the others ends the run."""
    cpu_offload: bool = False
    """fsdp: shards, their gradients and optimizer states stay in the machine's memory, not the GPU's."""
    replicate: Positive = 1
    """fsdp: copies of the model, each sharded over its own ranks / replicate neighbouring ranks (hybrid
    sharding): as many as there are machines keeps gathering within a machine, at the price of memory."""
    reshard_after_forward: bool = True
    """fsdp: blocks are gathered again for the backward pass; false keeps them: faster, as much as the model
    more memory."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """The model that a run leaves."""

    __pydantic_config__ = STRICT

    blend: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How far the exported weights go from those before training (0) to the trained ones (1): less keeps more
    of the model's use at the price of some alignment (WiSE-FT; Wortsman et al. 2022, equation 1)."""
    blend_above: Annotated[float, Field(ge=0, le=1)] | None = None
    """The same for the blocks that read the aligned layer, and the head; null: as `blend`."""

    blends: list[Annotated[float, Field(gt=0, le=1)]] = field(default_factory=list)
    """Values of `blend` that the run measures on benchmark@validation (`use`) when it is trained; that one is
    exported which `trainer.select=harmless` would choose: the most aligned that lost nothing significant, or,
    where all lost something, the one that lost in fewest figures. Empty: `blend` is taken as it is."""

    @property
    def shares(self) -> tuple[float, float]:
        """How far weights go that the aligned layer is made by, and the others."""
        return self.blend, self.blend if self.blend_above is None else self.blend_above
