"""The schema of the whole config: frozen dataclasses, one a group, a docstring under every field. Groups of
text and of training are in files of their own.

Hydra composes YAML values against this schema (registered in the ConfigStore by `register`), then
`xalign.cli.validation` turns the whole into one frozen `Config`. Nothing below the entry points reads a
config by string. `docs/config.md` is generated from the docstrings.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from xalign.config.choices import (
    LoggerName,
    Pooling,
    Precision,
    Quantization,
    RowInitialisation,
    TaskProvider,
)
from xalign.config.parts import STRICT, AdapterConfig, AnalysisConfig, Natural, Positive, TaskConfig
from xalign.config.text import DataConfig, InstructionsConfig, LanguagesConfig
from xalign.config.training import ExportConfig, LossConfig, OptimizerConfig, StrategyConfig, TrainerConfig

PRESET = "preset"
"""Key of composed configs, gone from resolved ones (`models.own_path`)."""


@dataclass(frozen=True, kw_only=True)
class SteeringConfig:
    """A language's vector added to the states after some blocks, where a model is measured."""

    __pydantic_config__ = STRICT

    path: str
    """File of `python -m xalign.steer`."""
    to: str
    """Language that states are led to."""
    away: str | None = None
    """Language that they are led away from; null: the pivot."""
    layers: list[Positive] = field(default_factory=list)
    """Blocks, from 1, after which it is added; none: the one at which the languages' vectors begin to lie on
    one line, as the file says."""
    strength: float = 1.0
    """How much of the way: 1 is the languages' distance, negative leads back."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which language model is aligned, and how it is loaded."""

    __pydantic_config__ = STRICT

    name: str
    """Short name, used for folders and in reports."""
    path: str | None = None
    """Hub id or local folder of a causal language model in Hugging Face format, or of a peft adapter, which
    is merged into its base (a model, or another adapter) when it is loaded; or a GGUF file."""
    artifact: str | None = None
    """Name of a model that comes by pip from the package index (see `xalign/sources/packages.py`)."""
    revision: str | None = None
    """Commit or tag on the hub; null takes the default branch."""
    base_revision: str | None = None
    """Where `path` is an adapter's: commit or tag of its base on the hub; null takes that of the adapter's
    config."""
    pretrained: bool = True
    """false builds `architecture` with random weights: dry runs and tests without a hub."""
    architecture: dict[str, Any] = field(default_factory=dict)
    """Values of the Hugging Face model config (with `model_type`) for `pretrained=false`."""
    tokenizer: str | None = None
    """Hub id, folder, artifact name or `bytes`; null takes the tokenizer beside the model."""
    tokenizer_revision: str | None = None
    """Commit or tag of `tokenizer` on the hub; null takes the default branch."""
    quantization: Quantization | None = None
    """Bits of the frozen matrices that adapters are trained beside: `nf4` (4 bits) or `int8`; null: float32.
    What is exported is merged into the weights as they were."""
    depth: Positive | None = None
    """Number of decoder blocks; lets `loss.layer` be checked before anything is loaded."""
    trust_remote_code: bool = False
    """Whether code that a hub repository ships may be executed."""
    steering: SteeringConfig | None = None
    """A language's vector added at inference; null: none. Of `xalign.evaluate` and `xalign.analyze`."""


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
    hub_revisions: dict[str, str] = field(default_factory=dict)
    """Dataset id on the hub -> its commit or tag; of others, the default branch is taken."""
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
    chat: bool = False
    """Whether prompts are written by the tokenizer's own chat template."""
    fewshot_as_multiturn: bool | None = None
    """With `chat`: whether demonstrations are turns of their own; false: they stand in the question's turn;
    null: they are turns."""
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
    entity: str | None = None
    """W&B user or team; null: that of the key."""
    group: str | None = None
    """W&B group; null: of a point of a sweep the sweep's name."""
    job_type: str = "align"
    """W&B job type."""
    tags: list[str] = field(default_factory=list)
    """W&B tags."""
    notes: str | None = None
    """W&B notes: what the run is for."""
    offline: bool | None = None
    """Keep W&B runs on disk (`wandb sync` uploads them later); null: where no key is set."""
    weights: bool = False
    """Whether the aligned model becomes an artifact of W&B's, with its weights."""


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
    export: ExportConfig = field(default_factory=ExportConfig)
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
    def ranks(self) -> int:
        """Processes that train together."""
        return self.trainer.devices * self.trainer.nodes

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


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Parallel text, and where what is made of it goes."""

    __pydantic_config__ = STRICT

    languages: LanguagesConfig
    data: DataConfig
    output: str | None = None
    """File or folder for what the command makes."""


@dataclass(frozen=True, kw_only=True)
class DataToolConfig(TextConfig):
    """What `python -m xalign.data` needs."""

    samples: Natural = 2
    """inspect: pairs of each language to show."""


@dataclass(frozen=True, kw_only=True)
class SteerConfig(TextConfig):
    """What `python -m xalign.steer` needs: a model, and parallel text."""

    model: ModelConfig
    sentences: Positive = 200
    """Sentences of each language that its vector is the mean of."""
    max_length: Positive = 128
    """Tokens that are kept of a sentence."""
    batch_tokens: Positive = 4096
    """Padded tokens in a batch."""


@dataclass(frozen=True, kw_only=True)
class MineConfig:
    """What `python -m xalign.data mine` needs: a model, and a text in each of two languages."""

    __pydantic_config__ = STRICT

    model: ModelConfig
    languages: LanguagesConfig
    source: str
    """File with a sentence of the pivot a line."""
    target: str
    """File with a sentence of the other language a line (`languages.targets`, which is that one)."""
    output: str
    """File for the pairs, whose name says the layout: `.jsonl`, `.tsv`, `.parquet`, `.tmx`, `.txt`."""
    threshold: Annotated[float, Field(ge=0)] = 1.05
    """Least margin score of a pair: its cosine over the mean of those of both sentences' nearest ones."""
    neighbours: Positive = 4
    """How many nearest sentences the margin is taken to."""
    layer: Natural | None = None
    """Layer of the sentence vectors; null: half of the blocks, where alignment is highest."""
    pooling: Pooling = Pooling.mean
    """How hidden states become a sentence's vector."""
    centred: bool = True
    """Whether each text's mean vector is subtracted first."""
    max_length: Positive = 128
    """Tokens that are kept of a sentence."""
    batch_tokens: Positive = 4096
    """Padded tokens in a batch."""


@dataclass(frozen=True, kw_only=True)
class VocabularyConfig(TextConfig):
    """What `python -m xalign.vocabulary` needs: a model, and text of the languages that its tokenizer is to
    have more pieces of (`languages.targets`)."""

    model: ModelConfig
    size: Natural = 4000
    """New pieces, of all languages together; fewer where no pair of tokens occurs twice; 0: none."""
    language_tokens: bool = False
    """Whether each language gets a token such as `<2de>`, which begins as the mean of the rows of its name
    (`transforms=target_token`)."""
    text: dict[str, str] = field(default_factory=dict)
    """Language -> file of plain text, a sentence a line, to learn pieces from besides `data`; of the pivot:
    text whose tokens are to stay the same."""
    initialise: RowInitialisation = RowInitialisation.mean
    """What new rows begin as: the `mean` of the rows of the old pieces that each was written with; the rows
    of the old pieces `nearest` by word vectors (OFA); or `propagated` from another model with the same new
    pieces, trained, by a linear map (Learned Embedding Propagation)."""
    vectors: str | None = None
    """initialise=nearest: file of word vectors in word2vec's text format, of one space for all languages."""
    adapted: str | None = None
    """initialise=propagated: folder of the trained model."""


SCHEMAS: dict[str, type] = {
    "schema": Config,
    "evaluate_schema": EvaluateConfig,
    "analyze_schema": AnalyzeConfig,
    "text_schema": DataToolConfig,
    "vocabulary_schema": VocabularyConfig,
    "mine_schema": MineConfig,
    "steer_schema": SteerConfig,
}
"""Of each entry point that composes a config."""
