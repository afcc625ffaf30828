"""What a run is judged by: figures of validation, at the step whose parameters were kept. Never the test."""

import json
from pathlib import Path

from xalign.config.schema import Config
from xalign.evaluation.figures import best_of, metric_of


def wanted(config: Config) -> list[str]:
    """The metrics that the config's sweep judges by, the main one first."""
    sweep = config.sweep
    return [sweep.metric, *sweep.also] if sweep.metric else []


def falls(config: Config) -> list[bool]:
    """Of each wanted figure, whether less is better."""
    validation = config.validation
    if validation is None:  # nothing is wanted, then
        return []
    return [not metric_of(figure, validation).higher_is_better for figure in wanted(config)]


def kept_values(config: Config, metrics: Path) -> list[float] | None:
    """The wanted figures in `metrics.jsonl`: at the step that measured best by `trainer.select`, else at the
    last one that was measured. None where a figure was never measured, or is no number there."""
    figures = wanted(config)
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    measured = {k: line for k, line in enumerate(lines) if all(figure in line for figure in figures)}
    if not figures or not measured:
        return None
    kept: int | None = max(measured)
    if (select := config.trainer.select) is not None:
        assert config.validation is not None
        values = {k: _number(line[select]) for k, line in measured.items()}
        kept = best_of(values, metric_of(select, config.validation))
    found = [] if kept is None else [_number(measured[kept][figure]) for figure in figures]
    return None if not found or any(value != value for value in found) else found


def _number(value: object) -> float:
    """A value of a log, in which what is no number is null."""
    return float(value) if isinstance(value, int | float) else float("nan")
