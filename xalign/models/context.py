"""Lengths of texts within what a model has positions for: lowered before anything is run, each with a line in
the log."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from xalign.base.decisions import Decisions
from xalign.base.errors import ModelError
from xalign.config.schema import BenchmarkConfig, Config
from xalign.models.backbone import Backbone

P = TypeVar("P")

LEAST = 16
"""Positions that a model needs: fewer hold no sentence."""


def within_context(config: Config, backbone: Backbone, decisions: Decisions) -> Config:
    """The config with every `max_length` that exceeds the model's positions lowered to them: of pairs, of
    what objectives train on, of what is measured.

    Raises:
        ModelError: the model has positions for a few tokens only.
    """
    trainer, validation = config.trainer, config.validation
    objectives = parts_within_context(config.loss.objectives, "loss.objectives", backbone, decisions)
    length = lowered_to_context("trainer.max_length", trainer.max_length, backbone, decisions)
    if validation is not None:
        validation = benchmark_within_context(validation, backbone, decisions, "validation")
    return replace(
        config,
        trainer=replace(trainer, max_length=length),
        loss=replace(config.loss, objectives=objectives),
        benchmark=benchmark_within_context(config.benchmark, backbone, decisions),
        validation=validation,
        analyses=parts_within_context(config.analyses, "analyses", backbone, decisions),
    )


def benchmark_within_context(
    benchmark: BenchmarkConfig, backbone: Backbone, decisions: Decisions, key: str = "benchmark"
) -> BenchmarkConfig:
    """The same for what is measured alone."""
    options = parts_within_context(benchmark.options, f"{key}.options", backbone, decisions)
    return replace(benchmark, options=options)


def parts_within_context(
    parts: Mapping[str, P], key: str, backbone: Backbone, decisions: Decisions
) -> dict[str, P]:
    """The same for the options, by name, of whatever stands under a key and has a `max_length`."""
    found = dict(parts)
    for name, own in parts.items():
        length = getattr(own, "max_length", None)
        if isinstance(length, int):
            lowered = lowered_to_context(f"{key}.{name}.max_length", length, backbone, decisions)
            changes: dict[str, Any] = {"max_length": lowered}
            found[name] = replace(own, **changes)  # type: ignore[type-var]
    return found


def lowered_to_context(key: str, length: int, backbone: Backbone, decisions: Decisions) -> int:
    """A length, with a line in the log where the model has fewer positions.

    Raises:
        ModelError: the model has positions for a few tokens only.
    """
    limit = backbone.context
    if limit is None or length <= limit:
        return length
    if limit < LEAST:
        raise ModelError(f"the model has positions for {limit} tokens only; at least {LEAST} are needed")
    decisions.add(key, limit, f"lowered from {length}: the model has positions for {limit} tokens")
    return limit
