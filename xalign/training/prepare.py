"""What training reads and asks for, made before anything long is run: mistakes show within seconds."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch

from xalign.base.decisions import Decisions
from xalign.base.errors import ConfigError
from xalign.config.choices import OptimizerKind, Precision, StrategyName, TaskProvider
from xalign.config.parts import AdaptedLayers, Samples
from xalign.config.schema import Config
from xalign.data.instructions import InstructionSampler, load_instructions
from xalign.data.parallel import Splits
from xalign.data.sampling import PairSampler, sampler_of
from xalign.data.transforms import TRANSFORMS
from xalign.evaluation import figures
from xalign.evaluation.task import Setting
from xalign.models.adapters import ADAPTERS
from xalign.models.backbone import Backbone
from xalign.objectives import OBJECTIVES
from xalign.objectives.base import Needs, Objective, Setup
from xalign.objectives.passes import mixed_seed
from xalign.performance.automatic import choose_precision
from xalign.training.callbacks.evaluate import require_other_items, validation_setting

log = logging.getLogger(__name__)

BEGINNINGS = 8
"""Sentences of a language with which text by the model itself begins."""


@dataclass(frozen=True)
class Prepared:
    """The objectives, and what they and the measurements during training read."""

    objectives: Mapping[str, Objective]
    splits: Splits
    pairs: PairSampler
    instructions: InstructionSampler | None
    validation: Setting | None
    layer: int

    @property
    def training_texts(self) -> dict[str, list[str | None]]:
        """Language -> everything that is trained on in it: the corpus, and instructions of their own."""
        train = self.splits.train
        found = {code: [*train.texts(code)] for code in train.languages}
        if self.instructions is not None:
            for code in found:
                found[code].extend(self.instructions.texts(code))
        return found

    @property
    def beginnings(self) -> list[str]:
        """Sentences of every language that is trained on, with which text by the model itself begins."""
        pairs = self.pairs
        found: list[str] = []
        for language in (pairs.pivot, *pairs.targets):
            texts = [text for text in pairs.corpus.texts(language) if text is not None]
            rng = np.random.default_rng([pairs.seed, crc32(language.encode())])
            found += [texts[i] for i in rng.permutation(len(texts))[:BEGINNINGS]]
        return found

    @property
    def needs(self) -> Sequence[Needs]:
        """What the objectives run and sample."""
        return [objective.needs for objective in self.objectives.values()]


def prepare(
    config: Config, backbone: Backbone, splits: Splits, layer: int, measured: Setting | None = None
) -> Prepared:
    """Read and check everything; `measured` is what the run is judged by at its end.

    Raises:
        ConfigError: an objective would train nothing, no instructions in a language, a figure that is not
            measured, validation in a precision that is not the model's, or on items that are reported at the
            end.
        DataError, ArtifactError: a file or a set cannot be read.
    """
    objectives = make_objectives(config, backbone, layer)
    needs = [objective.needs for objective in objectives.values()]
    _require_trained(config, objectives, layer)
    pairs = sampler_of(config, splits.train)
    instructions = None
    if any(n.instructions for n in needs):
        instructions = load_instructions(config.instructions, config.languages, splits.train, config.seed)
    _warn_of_idle_transforms(config, needs)
    validation = validation_setting(config, splits, layer)
    if validation is not None:
        _require_figures(config)
        _require_precision(config, backbone.device)
        keys = [key for key, _ in config.chosen_by] + ["export.blends"] * bool(config.export.blends)
        if measured is not None and keys:
            require_other_items(keys, validation, measured)
    return Prepared(objectives, splits, pairs, instructions, validation, layer)


def _require_trained(config: Config, objectives: Mapping[str, Objective], layer: int) -> None:
    if config.adapter.layers is AdaptedLayers.above:
        problems = [
            f"adapter.layers=above: trains nothing that {name} runs, which ends at the aligned layer {layer}"
            for name, objective in objectives.items()
            if objective.needs.layer <= layer
        ]
        if problems:
            raise ConfigError(problems)
    beside = not ADAPTERS.load(config.adapter.method).trains_model
    if config.adapter.layers is AdaptedLayers.below and layer == 0 and beside:
        raise ConfigError(
            ["adapter.layers=below: no block is below the aligned layer 0; adapter.layers=all trains others"]
        )


def _warn_of_idle_transforms(config: Config, needs: Sequence[Needs]) -> None:
    """No mistake: a sweep over weights has points at which nothing runs what a transform changes."""
    run = {
        Samples.pairs: any(own.pairs for own in needs),
        Samples.instructions: any(own.instructions for own in needs),
    }
    for name, own in config.data.transforms.items():
        changes = TRANSFORMS.load(own.kind).changes(own.samples)
        if not any(run[samples] for samples in changes):
            what = " and ".join(sorted(changes))
            log.warning("data.transforms.%s: no objective with a weight runs %s: it does nothing", name, what)


def measured_as_held(config: Config) -> str | None:
    """What lets the model be measured during training only in the arithmetic in which it is held; None:
    nothing does."""
    if config.strategy.name is StrategyName.fsdp:
        return "strategy=fsdp"
    return "optimizer=adamw_bf16" if config.optimizer.kind is OptimizerKind.adamw_bf16 else None


def _require_precision(config: Config, device: torch.device) -> None:
    assert config.validation is not None
    wanted, held = config.validation.precision, measured_as_held(config)
    if held is None or wanted is Precision.auto:
        return
    quiet = Decisions(quiet=True)
    if choose_precision(wanted, device, quiet) is not choose_precision(
        config.trainer.precision, device, quiet
    ):
        raise ConfigError(
            [
                f"validation.precision={wanted}: with {held} the model is measured as it is held for "
                "training, in trainer.precision; validation.precision=auto"
            ]
        )


def _require_figures(config: Config) -> None:
    """Figures of lm-evaluation-harness, which alone knows them; of ours they were checked with the config."""
    validation = config.validation
    assert validation is not None
    if validation.provider is TaskProvider.lm_eval:
        languages = [config.languages.pivot, *config.languages.targets, *config.languages.unseen]
        problems = [
            problem
            for key, figure in config.chosen_by
            for problem in figures.rules(key, figure, validation, languages, guests=True)
        ]
        if problems:
            raise ConfigError(problems)


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
