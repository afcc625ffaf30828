"""`python -m xalign.run plan=true`: what a run will need.

Tokens and operations are those of the first batches, time is that of real steps, where these fit into memory.
Nothing is trained, and nothing written but caches that the run itself will read.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from xalign.base.decisions import Decisions
from xalign.base.errors import ConfigError
from xalign.base.hardware import peak_flops
from xalign.base.phases import phases
from xalign.cli.extras import require_extras
from xalign.config.schema import Config
from xalign.data.collate import Buckets
from xalign.data.datamodule import AlignmentData
from xalign.data.step import StepBatch
from xalign.models.context import within_context
from xalign.models.instruct import with_settled_template
from xalign.performance.automatic import (
    choose_device,
    choose_layer,
    choose_precision,
    choose_threads,
)
from xalign.performance.flops import Operations, costs_of, operations
from xalign.performance.memory import Memory, memory_of, room_of
from xalign.runs.measurement import load_backbone
from xalign.training import gradients
from xalign.training.accumulate import accumulate
from xalign.training.inputs import training_inputs
from xalign.training.module import AlignedModel
from xalign.training.optimizer import build_optimizer
from xalign.training.prepare import prepare
from xalign.training.splits import load_splits
from xalign.workspace.commits import at_commits, commits_of
from xalign.workspace.environment import keep_freed_memory, quiet_libraries, set_up_logging

SAMPLE = 8
"""Batches that the figures of a step are the mean of."""

TIMED = 2
"""Steps that are timed, after one to warm up."""


@dataclass(frozen=True)
class Plan:
    """What a run needs. Tokens and operations are means of a rank's step, by objective."""

    parameters: int
    trained: int
    tokens: dict[str, float]
    padded: dict[str, float]
    operations: dict[str, Operations]
    memory: Memory
    micro_batch: int
    free: int
    peak: float
    steps: int
    seconds: float | None = None
    """A step's; None where a step would not fit into memory, and was not tried."""
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def step_operations(self) -> int:
        return sum(o.total for o in self.operations.values())

    @property
    def activations(self) -> int:
        """Bytes, of passes as large as the micro-batch and the step's parts allow."""
        return self.memory.activations({n: min(self.micro_batch, t) for n, t in self.padded.items()})

    @property
    def fits(self) -> bool:
        return self.memory.to_come + self.activations < self.free


def make_plan(config: Config) -> Plan:
    """Load what the run would load and measure it.

    Raises:
        XalignError: as the run itself would.
    """
    require_extras(config)
    quiet_libraries()
    keep_freed_memory()
    decisions = Decisions()
    choose_threads(config.trainer.threads, config.trainer.devices, decisions)
    device = choose_device(decisions)
    config = at_commits(config, commits_of(config, {}))
    splits, _ = load_splits(config)
    backbone = load_backbone(config.model, device, config.seed)
    config = with_settled_template(within_context(config, backbone, decisions), backbone, decisions)
    layer = choose_layer(config.loss.aligned_layer, backbone.depth, decisions)
    if layer > backbone.depth:
        raise ConfigError([f"loss.layer={layer}: {config.model.name} has layers 0 to {backbone.depth}"])
    dtype = choose_precision(config.trainer.precision, device, decisions)
    # The model's own texts take long to write, and are of the length of the others.
    without = replace(config, validation=None)
    prepared = prepare(without, backbone, splits, layer)
    inputs = training_inputs(without, backbone, prepared, dtype, decisions, texts=[])
    costs = costs_of(backbone)
    memory = memory_of(config, backbone, costs, inputs.objectives, inputs.reference)
    data = AlignmentData(
        without,
        backbone.tokenizer,
        prepared.pairs,
        inputs.objectives,
        instructions=prepared.instructions,
        arrangement=inputs.arrangement,
        cached_sentences=any(objective.needs.pairs for objective in inputs.objectives.values()),
    )
    batches = data.batches(0, config.trainer.devices)
    sample = [batches[step] for step in range(min(SAMPLE, config.trainer.steps))]
    works = {
        name: [
            (batch.parts[name], operations(costs, objective.work(batch.parts[name]), batch.parts[name]))
            for batch in sample
            if name in batch.parts
        ]
        for name, objective in inputs.objectives.items()
    }
    module = AlignedModel(backbone, inputs.adapter, inputs.objectives, config, inputs.reference)
    plan = Plan(
        parameters=sum(p.numel() for p in backbone.parameters()),
        trained=sum(p.numel() for p in module.trained),
        tokens={name: _mean([part.texts.count for part, _ in own], sample) for name, own in works.items()},
        padded={name: _mean([_padded(part.texts) for part, _ in own], sample) for name, own in works.items()},
        operations={
            name: Operations(
                round(_mean([o.forward for _, o in own], sample)),
                round(_mean([o.backward for _, o in own], sample)),
            )
            for name, own in works.items()
        },
        memory=memory,
        micro_batch=inputs.arrangement.micro_batch or 0,
        free=room_of(config, backbone),
        peak=peak_flops(device, dtype),
        steps=config.trainer.steps,
    )
    if not plan.fits:
        return plan
    seconds, spent = _timed(module, [batch.to(device) for batch in sample])
    return replace(plan, seconds=seconds, phases=spent)


def _timed(module: AlignedModel, batches: Sequence[StepBatch]) -> tuple[float, dict[str, float]]:
    """Seconds of a step, and by phase: as in training, without clipping and logging."""
    optimizer = build_optimizer(module, module.config.optimizer)
    for number in range(1 + TIMED):
        if number == 1:
            phases.take()
            started = time.perf_counter()
        parts = []
        for name, part in batches[number % len(batches)].parts.items():
            optimizer.zero_grad(set_to_none=True)
            accumulate(module.objectives[name], module.run(number), part)
            parts.append(gradients.of(module.trained))
        with phases("optimizer"):
            for parameter, gradient in zip(module.trained, gradients.add_(parts), strict=True):
                parameter.grad = gradient
            optimizer.step()
    spent = {name: seconds / TIMED for name, seconds in phases.take().items()}
    return (time.perf_counter() - started) / TIMED, spent


def _padded(part: Buckets) -> int:
    return sum(tokens.input_ids.numel() for tokens in part.buckets)


def _mean(values: Sequence[float], steps: Sequence[object]) -> float:
    """Over all steps, also those in which an objective has no part."""
    return sum(values) / len(steps)


def show_plan(config: Config) -> None:
    """Make the plan of a run and print it."""
    set_up_logging(None)
    print_plan(make_plan(config), config)


def print_plan(plan: Plan, config: Config, console: Console | None = None) -> None:
    """One table: parameters, a step's tokens and operations, memory, time."""
    console = console or Console(highlight=False)
    table = Table(
        box=SIMPLE_HEAD, title=f"Plan: {config.model.name}, {plan.steps} steps", title_justify="left"
    )
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("", style="dim")
    for section in (_parameters(plan), _a_step(plan), _memory(plan), _time(plan)):
        for row in section:
            table.add_row(*row)
        table.add_section()
    console.print(table)


Row = tuple[str, str, str]


def _parameters(plan: Plan) -> Iterator[Row]:
    yield "parameters", _short(plan.parameters), ""
    yield "  trained", _short(plan.trained), f"{plan.trained / plan.parameters:.1%}"


def _a_step(plan: Plan) -> Iterator[Row]:
    total, padded = sum(plan.tokens.values()), sum(plan.padded.values())
    yield "tokens a step and rank", f"{total:.0f}", f"and {1 - total / padded:.0%} padding"
    for name, tokens in plan.tokens.items():
        yield f"  {name}", f"{tokens:.0f}", f"and {1 - tokens / plan.padded[name]:.0%} padding"
    yield "operations a step", _short(plan.step_operations), "as few as the step needs"
    for name, own in plan.operations.items():
        shown = f"forward {_short(own.forward)}, backward {_short(own.backward)}"
        yield f"  {name}", _short(own.total), shown


def _memory(plan: Plan) -> Iterator[Row]:
    memory = plan.memory
    total = memory.weights + memory.reference + memory.to_come + plan.activations
    fits = "" if plan.fits else ": does not fit"
    yield "memory", _bytes(total), f"{_bytes(plan.free)} free beside the weights{fits}"
    yield "  weights", _bytes(memory.weights), ""
    if memory.reference:
        yield "  model before training", _bytes(memory.reference), "a copy of what is trained"
    yield "  rounded copies", _bytes(memory.rounded), ""
    yield "  gradients", _bytes(memory.gradients), "one an objective, at most"
    yield "  optimizer state", _bytes(memory.optimizer), "at most"
    yield "  logits", _bytes(memory.logits), "at most"
    each = ", ".join(f"{name} {size / 1e3:.0f}" for name, size in memory.token.items())
    yield "  activations", _bytes(plan.activations), f"kB a token (measured): {each}"
    yield "micro-batch", f"{plan.micro_batch}", "most tokens of one pass, padding included"


def _time(plan: Plan) -> Iterator[Row]:
    peak = f"{_short(plan.peak)} operations/s in a large matrix product"
    if plan.seconds is None:
        least = plan.step_operations / plan.peak
        yield (
            "seconds a step",
            f"> {least:.2g}",
            f"at the machine's {peak}: a step does not fit, none was timed",
        )
        yield "training", f"> {_duration(least * plan.steps)}", "without measuring before and after"
        return
    yield "seconds a step", f"{plan.seconds:.2f}", f"timed: mean of {TIMED} real steps, after one"
    for name, seconds in plan.phases.items():
        yield f"  {name}", f"{seconds:.2f}", f"{seconds / plan.seconds:.0%}"
    utilisation = plan.step_operations / plan.seconds / plan.peak
    yield "utilisation", f"{utilisation:.0%}", f"of {peak}"
    yield "training", _duration(plan.seconds * plan.steps), "without measuring before and after"


def _short(number: float) -> str:
    """Three digits and a power of a thousand: 268 M."""
    for power, letter in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {letter}"
    return f"{number:.3g}"


def _bytes(number: float) -> str:
    return f"{number / 1e9:.2f} GB"


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if seconds >= 90 else f"{seconds:.0f} s"
