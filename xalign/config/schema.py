"""The schema of every config group: frozen dataclasses, one a group, a docstring under every field.

Hydra composes YAML values against this schema (registered in the ConfigStore by `register`), then
`xalign.cli.validation` turns the whole into one frozen `Config`. Nothing below the entry points reads a
config by string. `docs/config.md` is generated from the docstrings in this file.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from xalign.config.choices import (
    Combine,
    LoggerName,
    OptimizerKind,
    Precision,
    StrategyName,
    TaskProvider,
)
from xalign.config.parts import (
    STRICT,
    AdapterConfig,
    AnalysisConfig,
    ObjectiveConfig,
    TaskConfig,
    TransformConfig,
)

PRESET = "preset"
"""Key of composed configs, gone from resolved ones (`models.own_path`)."""

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which language model is aligned, and how it is loaded."""

    __pydantic_config__ = STRICT

    name: str
    """Short name, used for folders and in reports."""
    path: str | None = None
    """Hub id or local folder of a causal language model in Hugging Face format."""
    artifact: str | None = None
    """Name of a model that comes by pip from the package index (see `xalign/sources/packages.py`)."""
    revision: str | None = None
    """Commit or tag on the hub; null takes the default branch."""
    pretrained: bool = True
    """false builds `architecture` with random weights: dry runs and tests without a hub."""
    architecture: dict[str, Any] = field(default_factory=dict)
    """Values of the Hugging Face model config (with `model_type`) for `pretrained=false`."""
    tokenizer: str | None = None
    """Hub id, folder, artifact name or `bytes`; null takes the tokenizer beside the model."""
    tokenizer_revision: str | None = None
    """Commit or tag of `tokenizer` on the hub; null takes the default branch."""
    depth: Positive | None = None
    """Number of decoder blocks; lets `loss.layer` be checked before anything is loaded."""
    trust_remote_code: bool = False
    """Whether code that a hub repository ships may be executed."""


@dataclass(frozen=True, kw_only=True)
class LanguagesConfig:
    """The pivot, the languages that are trained on, and those that are only measured."""

    __pydantic_config__ = STRICT

    pivot: str = "en"
    """Language that every pair shares; ISO 639-1/-3 codes, BCP 47 tags and FLORES codes resolve."""
    targets: list[str]
    """Languages aligned with the pivot."""
    unseen: list[str] = field(default_factory=list)
    """Languages measured before and after but never trained on."""
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Languages are drawn in proportion to (number of pairs) ** temperature: 1 as found, 0 uniform."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The parallel corpus: where it is, its layout, how it is cleaned and split."""

    __pydantic_config__ = STRICT

    name: str
    """Short name, used in reports."""
    format: str = "auto"
    """Layout of the corpus: the name of a file in `xalign/data/readers`, or of an entry point of the group
    `xalign.readers`; `auto`: the one that the files' names and beginnings show."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the reader of that layout."""
    path: str | None = None
    """Local file or folder."""
    packages: list[str] = field(default_factory=list)
    """Pinned packages whose gettext catalogues are read (see `xalign/sources/packages.py`)."""
    hub: str | None = None
    """Dataset id on the Hugging Face hub."""
    hub_config: str | None = None
    """Configuration of the hub dataset; `{first}-{second}`: one a pair, sorted; `{language}`: one each."""
    hub_revision: str | None = None
    """Commit or tag of the hub dataset; null takes the default branch."""
    hub_split: str = "train"
    """Split of the hub dataset."""
    columns: dict[str, str] = field(default_factory=dict)
    """Language code -> column (dots reach into nested records) for table, jsonl and hub sources."""
    min_words: Natural = 3
    """Pairs whose pivot side has fewer words are dropped."""
    max_characters: Positive = 1000
    """Pairs with a longer side are dropped."""
    max_length_ratio: Annotated[float, Field(gt=1)] = 6.0
    """Pairs whose longer side has more than this many times the UTF-8 bytes of the shorter are dropped."""
    validation_fraction: Fraction = 0.04
    """Share of pivot sentences held out for choices made during training."""
    test_fraction: Fraction = 0.08
    """Share of pivot sentences held out for the measurement before and after."""
    max_rows: Positive | None = None
    """Keep only so many pivot sentences (after cleaning); null keeps all."""
    transforms: dict[str, TransformConfig] = field(default_factory=dict)
    """Name -> options of a random change of what is trained on, applied in this order; `kind` says which it
    is, without it the name does."""


@dataclass(frozen=True, kw_only=True)
class InstructionsConfig:
    """The instruction samples of cross-lingual instruction following (CIF)."""

    __pydantic_config__ = STRICT

    source: str = "parallel"
    """`parallel` makes translation instructions from the corpus, `bactrian` reads `path` or `hub`, `xquad`
    `path`; other packages add theirs (entry points `xalign.instructions`)."""
    path: str | None = None
    """Folder with one file a language (JSON or JSONL: Bactrian-X layout; SQuAD layout: XQuAD)."""
    hub: str | None = None
    """Dataset id on the hub in Bactrian-X layout: one file or one configuration a language."""
    p_cross: Fraction = 0.5
    """Probability that instruction and answer are in different languages."""
    p_swap: Fraction = 0.5
    """Probability that the pivot is the answer's side in a cross-lingual sample."""
    equals_fraction: Fraction = 0.5
    """Share of translation instructions written `{x} = {y}` instead of in words."""


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
    """Metric that chooses the step to export, such as `eval/heldout/retrieval@1/mean`; null: the last."""
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
    reshard_after_forward: bool = True
    """fsdp: blocks are gathered again for the backward pass; false keeps them: faster, as much as the model
    more memory."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is measured, on which text."""

    __pydantic_config__ = STRICT

    name: str
    """Name of the set in results."""
    tasks: Annotated[list[str], Field(min_length=1)]
    """Measurements to make: names of files in `xalign/evaluation/tasks`, or of the provider's tasks."""
    options: dict[str, TaskConfig] = field(default_factory=dict)
    """Name of a task -> its own options, which can also be given by shorter keys for every task that has
    them."""
    provider: TaskProvider = TaskProvider.xalign
    """Our own tasks, or those of lm-evaluation-harness on our engine (extra `lm-eval`)."""
    path: str | None = None
    """Folder of the set in its published layout; null: the hub. Of parallel text only with `own_text`."""
    hub: str | None = None
    """Hub id of the set's own parallel text, one configuration a language; used where no path is given."""
    own_text: bool = False
    """Whether tasks on parallel text read `path`; false: the held-out text of `data`."""
    split: str | None = None
    """Split of a multiple-choice set; null: the one that the field reports."""
    languages: list[str] = field(default_factory=list)
    """Languages to measure; empty: all of the run's (or of the set)."""
    limit: Positive | None = None
    """Items a language; null: all."""
    shots: Natural | None = None
    """Few-shot demonstrations before each item; null: none, and as many as a guest task has of its own."""
    demonstration_split: str | None = None
    """Split that demonstrations come from, never the one that is measured; null: train or validation."""
    batch_tokens: Positive = 2048
    """Padded tokens in a batch."""
    precision: Precision = Precision.auto
    """Arithmetic of the measurement; `fp32` for exact comparisons."""


@dataclass(frozen=True, kw_only=True)
class LoggerConfig:
    """Where metrics go besides `metrics.jsonl`."""

    __pydantic_config__ = STRICT

    name: LoggerName = LoggerName.csv
    """Which logger."""
    project: str = "xalign"
    """W&B project."""
    offline: bool = True
    """Keep W&B runs on disk (`wandb sync` uploads them later)."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The run's folder."""

    __pydantic_config__ = STRICT

    dir: str | None = None
    """Folder of the run; null derives `outputs/<model>-<loss>-<hash of the config>`."""
    rerun: bool = False
    """Start over where the folder holds a finished run or one with another config."""


@dataclass(frozen=True, kw_only=True)
class DebugConfig:
    """Aids for finding faults."""

    __pydantic_config__ = STRICT

    name: str = "off"
    """Short name."""
    fixed_batch: bool = False
    """Train on the first batch again and again: the losses must go to zero."""
    detect_anomaly: bool = False
    """Let autograd name the operation that made a NaN."""


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """What a sweep (`-m`) is judged by, and how far `hydra/sweeper=optuna` goes."""

    __pydantic_config__ = STRICT

    metric: str | None = None
    """Figure of validation that points are judged by, at the step that is kept; null: nothing is judged."""
    also: list[str] = field(default_factory=list)
    """Figures to weigh against it: best is then every point that no other beats in all of them."""
    trials: Positive = 20
    """Trials of a search in all, those of earlier calls of the same command included."""
    startup: Positive = 5
    """Trials drawn at random, and never stopped early, before the search learns from them."""
    batch: Positive | None = None
    """Trials drawn together; null: as many as the launcher runs at once."""
    prune: bool = True
    """Stop a trial whose figure is worse than the median of the others at that step (with one figure)."""
    study: str | None = None
    """File of the search that this run belongs to; set by the search."""
    trial: Natural | None = None
    """Number of this run's trial; set by the search."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything a run needs, resolved."""

    __pydantic_config__ = STRICT

    model: ModelConfig
    languages: LanguagesConfig
    data: DataConfig
    instructions: InstructionsConfig
    loss: LossConfig
    adapter: AdapterConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    strategy: StrategyConfig
    benchmark: BenchmarkConfig
    validation: BenchmarkConfig | None = None
    """Measured during training, on validation splits (`benchmark@validation=heldout`); null: nothing."""
    analyses: dict[str, AnalysisConfig] = field(default_factory=dict)
    """What is looked at in sentence vectors before and after training: name of a file in
    `xalign/evaluation/analyses`, or of an entry point of the group `xalign.analyses` -> its options;
    `analyses=[]`: nothing, `analyses.cka=null`: not that one."""
    logger: LoggerConfig
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> a callback of Lightning's or of one's own: its class as `_target_`, and its arguments."""
    debug: DebugConfig
    sweep: SweepConfig
    run: RunConfig
    seed: Natural = 0
    """Source of every random choice, together with step, rank and worker."""
    resume: bool = True
    """Go on from the newest checkpoint in `run.dir`, if there is one."""
    plan: bool = False
    """Print parameters, operations, memory, tokens and time of the run, and stop."""

    @property
    def chosen_by(self) -> list[tuple[str, str]]:
        """(key, figure of `validation`) of every choice that the run makes by one: its items must be others
        than those that are reported."""
        given = [("trainer.select", self.trainer.select), ("sweep.metric", self.sweep.metric)]
        given += [("sweep.also", figure) for figure in self.sweep.also]
        monitors = [(f"callbacks.{name}.monitor", own.get("monitor")) for name, own in self.callbacks.items()]
        given += [(key, figure) for key, figure in monitors if str(figure).startswith("eval/")]
        return [(key, figure) for key, figure in given if figure is not None]


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What `python -m xalign.evaluate` needs: a model, a set, a file for the results."""

    __pydantic_config__ = STRICT

    model: ModelConfig
    languages: LanguagesConfig
    data: DataConfig
    benchmark: BenchmarkConfig
    models: list[str] = field(default_factory=list)
    """Models to measure side by side: folders of models or runs, or hub ids; empty: `model` alone."""
    output: str | None = None
    """File for the results (JSON), with `models` a folder; null prints the table only."""
    threads: Positive | None = None
    """CPU threads; null takes as many as there are cores, or fewer where OMP_NUM_THREADS says so."""
    seed: Natural = 0
    """Source of every random choice."""


@dataclass(frozen=True, kw_only=True)
class AnalyzeConfig(EvaluateConfig):
    """What `python -m xalign.analyze` needs: models, parallel text (that of `benchmark`), analyses."""

    models: list[str] = field(default_factory=list)
    """Models to look into: folders of runs, each with its base model and its aligned one, folders of models,
    or hub ids; empty: `model` alone."""
    analyses: dict[str, AnalysisConfig] = field(default_factory=dict)
    """What is looked at: name of an analysis -> its options."""
    output: str | None = None
    """Folder for what was found (JSON, one file a model) and the pictures (PNG, one an analysis); null:
    `outputs/analyses/<names of the models>`."""


SCHEMAS: dict[str, type] = {
    "schema": Config,
    "evaluate_schema": EvaluateConfig,
    "analyze_schema": AnalyzeConfig,
}
"""Of each entry point that composes a config."""
