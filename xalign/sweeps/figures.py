"""What a run is judged by: figures of validation, at the step whose parameters were kept. Never the test."""

import json
from pathlib import Path

from xalign.config import Config


def wanted(config: Config) -> list[str]:
    """The metrics that the config's sweep judges by, the main one first."""
    sweep = config.sweep
    return [sweep.metric, *sweep.also] if sweep.metric else []


def falls(figure: str) -> bool:
    """Whether less of a figure (`eval/<benchmark>/<metric>/<language>`) is better."""
    from xalign.reporting.measures import lower_is_better

    return lower_is_better(figure.split("/")[2])


def kept_values(config: Config, metrics: Path) -> list[float] | None:
    """The wanted figures in `metrics.jsonl`: at the step that measured best by `trainer.select`, else at the
    last one that was measured. None where a figure was never measured."""
    figures = wanted(config)
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    measured = [line for line in lines if all(figure in line for figure in figures)]
    if not figures or not measured:
        return None
    kept = measured[-1]
    if (select := config.trainer.select) is not None:
        sign = -1 if falls(select) else 1
        kept = max(measured, key=lambda line: sign * line[select])  # the first of equals, as in training
    return [float(kept[figure]) for figure in figures]
