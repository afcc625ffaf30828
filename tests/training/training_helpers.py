"""A tiny aligned model with data of its own, ready to be stepped or fitted."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_backbone

from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.schema import Config
from xalign.data.collate import Arrangement
from xalign.data.datamodule import StepBatches
from xalign.data.instructions import load_instructions
from xalign.data.parallel import ParallelCorpus, Splits
from xalign.data.rows import Row
from xalign.data.sampling import sampler_of
from xalign.data.step import Material
from xalign.data.transforms.chain import chain_of
from xalign.evaluation.task import Setting
from xalign.models import adapters
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone
from xalign.models.dropout import enter_training
from xalign.objectives.base import Objective
from xalign.training.beginnings import vectors_before
from xalign.training.callbacks.metrics import MEASURED
from xalign.training.fit import fit
from xalign.training.inputs import TrainingInputs
from xalign.training.module import AlignedModel
from xalign.training.prepare import Prepared, make_objectives
from xalign.workspace.folder import RunFolder

PADDED = Arrangement()
PACKED = Arrangement(packed=True)

SMALL = (
    "model=tiny",
    "languages.targets=[fr,de]",
    "languages.unseen=[]",
    "adapter.layers=all",
    "instructions=parallel",
    "trainer.retention_few_shot_fraction=0",
    "trainer.retention_max_length=96",
    "trainer.instruction_max_length=256",
    "trainer.batch_size=8",
    "trainer.languages_per_batch=2",
    "trainer.instruction_batch_size=4",
    "trainer.retention_batch_size=3",
    "trainer.retention_tokens=16",
    "trainer.precision=fp32",
    "trainer.steps=6",
    "trainer.checkpoint_every=2",
    "trainer.gradient_stats_every=1",
    "logger=none",
)


def timeless(run: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl` without what depends on the machine and the moment."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]


def small_config(*overrides: str) -> Config:
    rank = () if any(o.startswith("adapter=full") for o in overrides) else ("adapter.r=4",)
    return resolve(compose_config("config", [*SMALL, *rank, *overrides]), Config)


def small_corpus(rows: int = 60) -> ParallelCorpus:
    words = ["save", "open", "close", "the file", "a page", "every user", "no event", "new group"]

    def sentence(i: int, tag: str) -> str:
        return f"{words[i % 8]} {words[(i // 8) % 8]} {i} {tag}" + " and more" * (i % 5)

    return ParallelCorpus.from_rows(
        [Row("made", {c: sentence(i, c) for c in ("en", "fr", "de")}) for i in range(rows)], "made"
    )


def batches_of(
    config: Config, module: AlignedModel, rank: int = 0, ranks: int = 1, arrangement: Arrangement = PADDED
) -> StepBatches:
    corpus = small_corpus()
    pairs = sampler_of(config, corpus)
    material = Material(
        module.backbone.tokenizer,
        pairs,
        config.seed,
        config.trainer.max_length,
        instructions=load_instructions(config.instructions, config.languages, corpus, config.seed),
        transforms=chain_of(config, corpus),
    )
    return StepBatches(material, module.objectives, rank, ranks, arrangement=arrangement)


def small_module(config: Config, family: str = "llama", layer: int = 2, **changes: object) -> AlignedModel:
    """A tiny model in training, as `training_inputs` would make it."""
    backbone = tiny_backbone(family, **changes)
    adapter = adapters.attach(backbone, config.adapter)
    objectives = make_objectives(config, backbone, layer)
    retained = any(objective.needs.reference for objective in objectives.values())
    begin(config, backbone, objectives)
    enter_training(backbone, dropout=config.trainer.dropout)
    return AlignedModel(backbone, adapter, objectives, config, adapter.reference() if retained else None)


OBJECTIVES = Path(__file__).parents[1] / "objectives"


def required(kind: str, name: str) -> list[str]:
    """Options without which an objective does not run on the made corpus, in which no words can be mined."""
    files = {
        "words": f"dictionary={OBJECTIVES / 'dictionary'}",
        "nli_triplets": f"path={OBJECTIVES / 'nli'}",
        "entities": f"names={OBJECTIVES / 'names.tsv'}",
    }
    return [f"loss.objectives.{name}.{files[kind]}"] if kind in files else []


def begin(
    config: Config,
    backbone: Backbone,
    objectives: Mapping[str, Objective],
    corpus: ParallelCorpus | None = None,
) -> None:
    """Give objectives what they begin with."""
    pairs = sampler_of(config, corpus or small_corpus())
    vectors = vectors_before(backbone, pairs, [own.needs for own in objectives.values()], 64)
    for own in objectives.values():
        if own.needs.begins_with:
            own.begin(vectors)


def small_inputs(
    config: Config,
    backbone: Backbone,
    adapter: Adapter,
    *,
    layer: int = 2,
    own_texts: Sequence[str] = (),
    arrangement: Arrangement = PACKED,
    splits: Splits | None = None,
    validation: Setting | None = None,
) -> TrainingInputs:
    """What `fit` needs to train a tiny model on the made corpus, or another."""
    corpus = small_corpus() if splits is None else splits.train
    objectives = make_objectives(config, backbone, layer)
    begin(config, backbone, objectives, corpus)
    retained = any(objective.needs.reference for objective in objectives.values())
    return TrainingInputs(
        backbone=backbone,
        adapter=adapter,
        reference=adapter.reference() if retained else None,
        prepared=Prepared(
            objectives,
            splits or Splits(corpus, corpus, corpus),
            sampler_of(config, corpus),
            load_instructions(config.instructions, config.languages, corpus, config.seed),
            validation,
            layer,
        ),
        own_texts=own_texts,
        arrangement=arrangement,
    )


def with_random_adapters(module: AlignedModel) -> AlignedModel:
    """The same module with drawn adapters, always the same, so that none is zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return module


def moved(module: AlignedModel) -> AlignedModel:
    """The same module, no more what it was before training: all that is trained is changed a little."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.trained:
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.01)
    return module


def fitted(config: Config, path: Path, *, own_texts: Sequence[str] = ()) -> dict[str, torch.Tensor]:
    """Train a tiny model in a folder, from its checkpoint if there is one; all that was trained."""
    backbone = tiny_backbone("llama")
    inputs = small_inputs(
        config, backbone, adapters.attach(backbone, config.adapter, config.seed), own_texts=own_texts
    )
    path.mkdir(exist_ok=True)
    fit(config, RunFolder(path), inputs)
    trained = {n: p for n, p in backbone.named_parameters() if p.requires_grad}
    for name, objective in inputs.objectives.items():
        if objective.own is not None:
            trained |= {f"{name}.{n}": p for n, p in objective.own.named_parameters()}
    return {name: p.detach().clone() for name, p in trained.items()}


OWN_TEXTS = ["The file was closed and saved.", "A page is open", "la page est ouverte", "Every group"]


@contextmanager
def power_cut(step: int) -> Iterator[None]:
    """Inside, training must be cut off as this step (from 0) begins."""
    train = AlignedModel.training_step

    def cut(self: AlignedModel, batch: Any, batch_idx: int) -> None:
        if batch.step == step:
            raise RuntimeError("power cut")
        train(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AlignedModel, "training_step", cut)
        with pytest.raises(RuntimeError, match="power cut"):
            yield


def fitted_curve(overrides: list[str], folder: Path, steps: int = 20) -> dict[str, list[float]]:
    """Losses and norms of a short training of a tiny model, by name, one value a step."""
    config = small_config(*overrides, f"trainer.steps={steps}", "trainer.checkpoint_every=1000")
    torch.manual_seed(0)
    backbone = tiny_backbone("llama")
    adapter = adapters.attach(backbone, config.adapter, config.seed)
    run = folder / "-".join(["golden", *(o.replace("/", "_") for o in overrides)])
    run.mkdir(parents=True)
    layer = 2 if config.loss.layer is None else config.loss.layer
    fit(config, RunFolder(run), small_inputs(config, backbone, adapter, layer=layer, own_texts=OWN_TEXTS))
    lines = timeless(run)
    names = [name for name in lines[0] if name.startswith(("loss", "gradient_norm"))]
    return {name: [line[name] for line in lines] for name in names}
