"""The same training on one rank and on several: what each of them computes, ready to be compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from test_exactness import module_of
from torch import Tensor
from torch.distributed.tensor import DTensor
from training_helpers import batches_of, moved, required, small_config

from xalign.base.decisions import Decisions
from xalign.config.choices import Pooling
from xalign.data.collate import Arrangement, tokenize
from xalign.data.retained_texts import RetainedTexts
from xalign.data.step import StepBatch
from xalign.distributed import collectives
from xalign.models.backbone import evaluating
from xalign.models.dropout import enter_training
from xalign.models.reference import FrozenCopy
from xalign.objectives import OBJECTIVES
from xalign.options.short_keys import of_objectives
from xalign.performance.automatic import choose_precision
from xalign.training.accumulate import accumulate
from xalign.training.module import AlignedModel
from xalign.training.optimizer import build_optimizer, cosine_with_warmup
from xalign.training.sharding import gathered, mesh_of, shard

GLOBAL = 16
"""Pairs a step of all ranks together; retention has as many texts, instructions half."""
STEPS = 3
OTHERS = [kind for kind in OBJECTIVES.names() if f"loss.{kind}_weight" not in of_objectives()]
"""Objectives that the default preset has not."""

Named = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A model, what is trained of it, and how it is spread over ranks."""

    strategy: str
    family: str
    adapter: str
    changes: tuple[str, ...] = ()
    """Further overrides of the config."""

    def __str__(self) -> str:
        values = (change.split(".")[-1] for change in self.changes)
        return "-".join([self.strategy, self.family, self.adapter, *values])


@dataclass(frozen=True)
class Outcome:
    """Losses and whole gradients of each objective at the first step; parameters after the last."""

    losses: dict[str, float]
    figures: dict[str, float]
    """Further numbers for the log, such as the accuracy of matching."""
    gradients: dict[str, Named]
    parameters: Named
    vectors: Tensor
    """Of some sentences after the first step, made as in measuring during training."""
    norms: list[float]
    passes: list[int]
    """Buckets of the first step's batch, by rank."""
    tokens: list[int]


def outcome_of(case: Case, rank: int, ranks: int) -> Outcome:
    """Compute a case as one of several ranks (of one: without a process group)."""
    config = small_config(
        f"trainer.batch_size={GLOBAL // ranks}", f"trainer.instruction_batch_size={GLOBAL // 2 // ranks}",
        f"trainer.retention_batch_size={GLOBAL // ranks}", f"trainer.retention_tokens={40 // ranks}",
        f"adapter={case.adapter}", "loss.tau=0.2", f"trainer.steps={STEPS}", "optimizer.lr=1e-2",
        # Where the true gradient is zero, as of keys' biases, Adam would else blow up its rounding.
        "optimizer.eps=1e-4",
        f"strategy={case.strategy}", f"trainer.devices={ranks}", *case.changes, *_others(case, ranks),
    )  # fmt: skip
    module = moved(module_of(config, case.family, torch.float32))
    # Ranks with different numbers of passes, which texts of different lengths alone make seldom.
    arrangement = Arrangement(packed=case.family != "bloom", micro_batch=(256, 128)[rank % 2], widest=128)
    module.backbone.compute_dtype = choose_precision(
        config.trainer.precision, module.backbone.device, Decisions(quiet=True)
    )
    if config.trainer.activation_checkpointing:
        module.backbone.checkpoint_activations()
        enter_training(module.backbone, dropout=False)
    if case.strategy == "fsdp":
        mesh = mesh_of("cpu", config.strategy.replicate)
        shard(module.backbone, mesh, config.strategy, module.adapter.whole())
        if isinstance(module.reference, FrozenCopy):
            shard(module.reference.backbone, mesh, config.strategy)
    batches = batches_of(config, module, rank, ranks, arrangement)
    first = _with_duplicates(batches[0])
    losses, figures, gradients = {}, {}, {}
    for name, part in first.parts.items():
        module.zero_grad()
        losses[name], own = accumulate(module.objectives[name], module.run(0), part)
        figures |= {f"{name}_{key}": float(value) for key, value in own.items()}
        collectives.sum_gradients(module.trained)
        found = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
        gradients[name] = {n: whole(g) for n, g in found.items()}
    norms = []
    for metrics in _stepped(module, batches):
        norms.append(float(metrics["gradient_norm"]))
        if len(norms) == 1:
            vectors = _measured(module, rank)
    parameters = {n: whole(p.detach()) for n, p in module.named_parameters() if p.requires_grad}
    texts = [part.texts for part in first.parts.values()]
    passes, tokens = sum(len(t.buckets) for t in texts), sum(t.count for t in texts)
    return Outcome(
        losses, figures, gradients, parameters, vectors, norms, collectives.gather_lists([passes]),
        collectives.gather_lists([tokens]),
    )  # fmt: skip


def _others(case: Case, ranks: int) -> Iterator[str]:
    """All objectives with one family; with the others one of those that run the model before training."""
    for kind in OTHERS if case.family == "llama" else ["state_retention"]:
        yield f"loss.objectives.{kind}.weight=1"
        yield from required(kind, kind)
        options = {field.name for field in fields(OBJECTIVES.load(kind).Config)}
        if "batch_size" in options and not issubclass(OBJECTIVES.load(kind).Config, RetainedTexts):
            yield f"loss.objectives.{kind}.batch_size={GLOBAL // 2 // ranks}"


def _stepped(module: AlignedModel, batches: object) -> Iterator[dict[str, float]]:
    """The metrics of some training steps, without Lightning."""
    optimizer = build_optimizer(module, module.config.optimizer)
    scheduler = cosine_with_warmup(optimizer, module.config.optimizer, STEPS)
    module.optimizers = lambda: optimizer  # type: ignore[assignment,method-assign]
    module.lr_schedulers = lambda: scheduler  # type: ignore[assignment,method-assign]
    for step in range(STEPS):
        module.training_step(_with_duplicates(batches[step]), step)  # type: ignore[index]
        yield dict(module.last_metrics)


def _measured(module: AlignedModel, rank: int) -> Tensor:
    """Ranks have as many sentences to measure as their languages have: here one more each."""
    backbone, config = module.backbone, module.config
    tokens = tokenize(backbone.tokenizer, ["One sentence", "Another one, which is longer"], 40)
    with gathered(backbone, config.strategy), evaluating(backbone):
        for _ in range(1 + rank):
            vectors = backbone.represent_all_layers(tokens, Pooling.mean)
            logits = backbone.logits_at(tokens, tokens.content_mask.bool())
    return torch.cat([vectors.flatten(), logits.flatten()])


def _with_duplicates(batch: StepBatch) -> StepBatch:
    """Some pairs count as the same sentence as others, on whichever rank these are."""
    part = batch.parts["contrastive"]
    keys = {"source": part.numbers["source"] % 23, "target": part.numbers["target"] % 29}
    changed = replace(part, numbers={**part.numbers, **keys})
    return replace(batch, parts={**batch.parts, "contrastive": changed})


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, dense."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).to_dense().clone()


def _rank(rank: int, ranks: int, path: Path, cases: list[Case]) -> None:
    torch.set_num_threads(1)
    with process_group(rank, ranks, path / "meeting"):
        for case in cases:
            outcome = outcome_of(case, rank, ranks)
            if rank == 0:
                torch.save(outcome, path / f"{case}.pt")


@contextmanager
def process_group(rank: int, ranks: int, meeting: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks)
    try:
        yield
    finally:
        dist.destroy_process_group()


def outcomes_of_ranks(cases: list[Case], ranks: int, path: Path) -> dict[Case, Outcome]:
    """All cases on so many processes, which are started once."""
    mp.spawn(_rank, (ranks, path, cases), nprocs=ranks)
    return {case: torch.load(path / f"{case}.pt", weights_only=False) for case in cases}
