"""What of a run is shown in W&B and TensorBoard, stage by stage."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from xalign.base.errors import RunError, Stopped, XalignError
from xalign.config.choices import LoggerName
from xalign.config.schema import Config
from xalign.evaluation.metrics import MEAN
from xalign.evaluation.results import Evaluation
from xalign.evaluation.statistics import Comparison
from xalign.options.plain import plain
from xalign.tracking.base import Cell, Tracking
from xalign.tracking.tensorboard import TensorboardTracking
from xalign.tracking.wandb_run import WandbTracking
from xalign.workspace.folder import RunFolder

ITEMS = 200
"""Items of each task in the table of items."""
SHOWN = ("prompt", "text", "sentence", "gold", "prediction", "candidates", "loglikelihoods", "language")
"""Of an item's record, what comes first in the table."""


def tracking_of(config: Config, folder: RunFolder) -> Tracking:
    """What the configured logger shows beside the steps."""
    match config.logger.name:
        case LoggerName.wandb:
            own_id = str(folder.known()["wandb_id"])
            return WandbTracking(config.logger, folder.path, own_id, _group(folder.path))
        case LoggerName.tensorboard:
            return TensorboardTracking(folder.path / "logs" / "tensorboard")
        case _:
            return Tracking()


def _group(path: Path) -> str | None:
    """The name of the sweep that a run is a point of: `outputs/sweeps/<name>/<point>`."""
    return path.parent.name if path.parent.parent.name == "sweeps" else None


@contextmanager
def tracked(config: Config, folder: RunFolder) -> Iterator[Tracking]:
    """The run open inside, and closed as what it ended as."""
    tracking = tracking_of(config, folder)
    tracking.begin(plain(config))
    exit_code = 1
    try:
        yield tracking
        exit_code = 0
    except Stopped as stopped:
        exit_code = 128 + stopped.number
        raise
    except KeyboardInterrupt:
        exit_code = 130
        raise
    except RunError as error:
        tracking.alert("The run has stopped", str(error))
        raise
    except XalignError as error:
        exit_code = error.exit_code
        raise
    finally:
        tracking.end(exit_code)


def show_measured(tracking: Tracking, name: str, evaluation: Evaluation) -> None:
    """All figures of a measurement as a table, and some of the items."""
    columns = ["benchmark", "language", "metric", "layer", "shots", "value", "stderr", "n"]
    rows: list[list[Cell]] = [
        [r.benchmark, r.language, r.metric, r.layer, r.shots, r.value, r.stderr, r.n]
        for r in evaluation.results
    ]
    tracking.table(f"eval/{name}", columns, rows)
    for task, records in evaluation.items.items():
        some = list(islice(records, ITEMS))
        keys = list(dict.fromkeys(key for record in some for key in record))
        ordered = [key for key in SHOWN if key in keys] + [key for key in keys if key not in SHOWN]
        tracking.table(
            f"items/{name}.{task}", ordered, [[_cell(record.get(key)) for key in ordered] for record in some]
        )


def show_comparison(tracking: Tracking, comparisons: Sequence[Comparison], layer: int) -> None:
    """How every figure changed: a table, bars by language, and the means as figures of the run."""
    columns = ["benchmark", "metric", "layer", "language", "before", "after", "difference"]
    columns += ["low", "high", "p", "p (Holm)"]
    rows: list[list[Cell]] = [
        [
            *(c.benchmark, c.metric, c.layer, c.language),
            *(c.before, c.after, c.after - c.before, c.low, c.high, c.p_value, c.p_adjusted),
        ]
        for c in comparisons
    ]
    tracking.table("eval/change", columns, rows)
    figures: dict[str, float] = {}
    by_figure: dict[str, list[tuple[str, float]]] = {}
    for c in comparisons:
        if c.layer not in (None, layer):
            continue
        name = f"eval/{c.benchmark}/{c.metric}"
        if c.language == MEAN:
            figures |= {f"{name}/before": c.before, f"{name}/after": c.after}
        else:
            by_figure.setdefault(name, []).append((c.language, c.after - c.before))
    tracking.figures(figures)
    for name, changes in by_figure.items():
        tracking.bars(f"{name}/change", f"{name.removeprefix('eval/')}: after − before", changes)


def show_results(tracking: Tracking, config: Config, folder: RunFolder, data: Mapping[str, object]) -> None:
    """Pictures, the report, and what others build on."""
    for picture in sorted((folder.path / "plots").glob("*.png")):
        tracking.picture(f"pictures/{picture.stem}", picture)
    tracking.page("report", folder.report)
    tracking.artifact("evaluation", "evaluation", sorted(folder.evaluation.glob("*.json*")), {})
    tracking.artifact("data", "dataset", [], data)
    if config.logger.weights:
        tracking.artifact("model", "model", [folder.model], {"base": config.model.name})


def _cell(value: object) -> Cell:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return json.dumps(value, ensure_ascii=False)
