"""Speed, memory and time in every step's metrics."""

import json
import math
from pathlib import Path

import pytest
from test_fit import fitted
from training_helpers import batches_of, small_config, small_module

from xalign.performance.flops import costs_of, operations
from xalign.training.callbacks import metrics
from xalign.training.callbacks.metrics import PHASES, MetricsWriter


def lines_of(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_every_step_says_how_fast_it_was_and_where_time_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "peak_flops", lambda *_: 1e6)
    config = small_config()
    fitted(config, tmp_path / "run")
    lines = lines_of(tmp_path / "run")
    assert len(lines) == config.trainer.steps
    module = small_module(config)
    batches, costs = batches_of(config, module), costs_of(module.backbone)
    for line in lines:
        assert line["peak_memory_gb"] > 0.05
        for phase in ("forward", "backward", "optimizer"):
            assert line[f"seconds/{phase}"] > 0, phase
        assert line["seconds/evaluation"] == 0
        seconds = config.trainer.batch_size / line["pairs_per_second"]
        assert sum(line[f"seconds/{phase}"] for phase in PHASES) <= seconds + 1e-3
        # The stated formula: operations of the step's own batch over seconds times peak.
        batch = batches[int(line["step"]) - 1]
        total = sum(
            operations(costs, module.objectives[name].work(part), part).total
            for name, part in batch.parts.items()
        )
        assert line["mfu"] == pytest.approx(total / (seconds * 1e6), rel=0.01)


def test_measuring_does_not_count_as_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: MetricsWriter, *arguments: object) -> None:
        arguments[1].last_metrics["seconds_evaluating"] = 1000.0  # type: ignore[attr-defined]
        write(self, *arguments)  # type: ignore[arg-type]

    write = MetricsWriter.on_train_batch_end
    monkeypatch.setattr(MetricsWriter, "on_train_batch_end", slow)
    fitted(small_config("trainer.steps=1"), tmp_path / "run")
    (line,) = lines_of(tmp_path / "run")
    assert line["seconds/evaluation"] == 1000.0
    assert math.copysign(1, line["tokens_per_second"]) == -1  # 1,000 s were taken off a step of less
    assert "seconds_evaluating" not in line
