"""Lengths of texts within what a model has positions for: lowered before anything is run, each with a line in
the log."""

from dataclasses import replace
from typing import Any

from xalign.base.decisions import Decisions
from xalign.base.errors import ModelError
from xalign.config.schema import BenchmarkConfig, Config
from xalign.models.backbone import Backbone

LEAST = 16
"""Positions that a model needs: fewer hold no sentence."""


def within_context(config: Config, backbone: Backbone, decisions: Decisions) -> Config:
    """The config with every `max_length` that exceeds the model's positions lowered to them: of pairs, of
    what objectives train on, of what is measured.

    Raises:
        ModelError: the model has positions for a few tokens only.
    """
    trainer, validation, objectives = config.trainer, config.validation, dict(config.loss.objectives)
    for name, own in objectives.items():
        length = getattr(own, "max_length", None)
        if isinstance(length, int):
            lowered = _lowered(f"loss.objectives.{name}.max_length", length, backbone, decisions)
            changes: dict[str, Any] = {"max_length": lowered}
            objectives[name] = replace(own, **changes)
    length = _lowered("trainer.max_length", trainer.max_length, backbone, decisions)
    if validation is not None:
        validation = benchmark_within_context(validation, backbone, decisions, "validation")
    return replace(
        config,
        trainer=replace(trainer, max_length=length),
        loss=replace(config.loss, objectives=objectives),
        benchmark=benchmark_within_context(config.benchmark, backbone, decisions),
        validation=validation,
    )


def benchmark_within_context(
    benchmark: BenchmarkConfig, backbone: Backbone, decisions: Decisions, key: str = "benchmark"
) -> BenchmarkConfig:
    """The same for what is measured alone."""
    options = dict(benchmark.options)
    for name, own in options.items():
        length = getattr(own, "max_length", None)
        if isinstance(length, int):
            lowered = _lowered(f"{key}.options.{name}.max_length", length, backbone, decisions)
            changes: dict[str, Any] = {"max_length": lowered}
            options[name] = replace(own, **changes)
    return replace(benchmark, options=options)


def _lowered(key: str, length: int, backbone: Backbone, decisions: Decisions) -> int:
    limit = backbone.context
    if limit is None or length <= limit:
        return length
    if limit < LEAST:
        raise ModelError(f"the model has positions for {limit} tokens only; at least {LEAST} are needed")
    decisions.add(key, limit, f"lowered from {length}: the model has positions for {limit} tokens")
    return limit
