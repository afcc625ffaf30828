"""The project's workspace on W&B: what to look at first, in sections. Made with wandb-workspaces."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xalign.base.errors import ArtifactError, ConfigError, needs_extra
from xalign.tracking.wandb_run import STEP

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

OBJECTIVES = ("contrastive", "instruction", "retention")
"""Whose loss, weight and gradient have a line each; those of other objectives are in the last section."""


def workspace(entity: str, project: str) -> "Workspace":
    """Sections: what alignment changed, how training went, which settings mattered, what it cost.

    Raises:
        ConfigError: wandb-workspaces is not installed.
    """
    try:
        from wandb_workspaces import workspaces as ws
        from wandb_workspaces.reports import v2
    except ImportError:
        raise ConfigError([needs_extra("xalign.dashboard", "dashboard")]) from None
    wr: Any = v2  # which says nothing of its names to type checkers

    def lines(title: str, *metrics: str, smooth: float | None = None) -> Any:
        options = {} if smooth is None else {"smoothing_factor": smooth, "smoothing_type": "exponential"}
        return wr.LinePlot(title=title, x=STEP, y=list(metrics), **options)

    def bars(title: str, *metrics: str) -> Any:
        return wr.BarPlot(title=title, metrics=list(metrics))

    def change(figure: str) -> tuple[str, str]:
        return f"eval/{figure}/before", f"eval/{figure}/after"

    retrieval = change("heldout/retrieval@1_best")
    bits = change("heldout/bits_per_byte")
    settings = ["config:loss.tau.value", "config:loss.layer.value", "config:optimizer.lr.value"]
    settings += ["config:trainer.steps.value", f"summary:{retrieval[1]}"]
    columns = [wr.ParallelCoordinatesPlotColumn(metric=_metric(wr, own)) for own in settings]
    return ws.Workspace(
        entity=entity,
        project=project,
        name="xalign",
        sections=[
            ws.Section(
                name="What changed",
                is_open=True,
                panels=[
                    bars("Retrieval@1, best layer: before, after", *retrieval),
                    bars("Translation choice", *change("translation_choice/accuracy")),
                    bars("Bits per byte (lower is better)", *bits),
                    bars("Nats of the reference, into", *change("heldout/reference_nats_into")),
                    wr.MediaBrowser(title="Retrieval by layer", media_keys=["pictures/retrieval_by_layer"]),
                    wr.MediaBrowser(title="Languages", media_keys=["pictures/languages"]),
                ],
            ),
            ws.Section(
                name="Training",
                is_open=True,
                panels=[
                    lines("Loss", "train/loss", smooth=0.6),
                    lines("Loss parts", *(f"train/loss/{own}" for own in OBJECTIVES), smooth=0.6),
                    lines("Effective weights", *(f"train/weight/{own}" for own in OBJECTIVES)),
                    lines("Gradient norms", *(f"train/gradient_norm/{own}" for own in OBJECTIVES)),
                    lines("Contrastive accuracy", "train/contrastive_accuracy", smooth=0.6),
                    lines("Learning rate", "train/lr"),
                ],
            ),
            ws.Section(
                name="Which settings matter",
                panels=[
                    wr.ParallelCoordinatesPlot(title="Settings and retrieval", columns=columns),
                    wr.ParameterImportancePlot(with_respect_to=retrieval[1]),
                    wr.ScatterPlot(
                        title="Gain against cost in English",
                        x=wr.SummaryMetric(bits[1]),
                        y=wr.SummaryMetric(retrieval[1]),
                    ),
                    wr.RunComparer(diff_only=True),
                ],
            ),
            ws.Section(
                name="Speed and memory",
                panels=[
                    lines("Pairs a second", "system/pairs_per_second", smooth=0.6),
                    lines("Tokens a second", "system/tokens_per_second", smooth=0.6),
                    lines("Model FLOP utilisation", "system/mfu", smooth=0.6),
                    lines("Peak memory (GB)", "system/peak_memory_gb"),
                ],
            ),
        ],
        auto_generate_panels=True,
    )


def as_json(made: "Workspace") -> dict[str, Any]:
    """The workspace as W&B's server takes it."""
    # There is no public call that does not send it.
    found: dict[str, Any] = json.loads(made._to_model().model_dump_json(by_alias=True))
    return found


def write(made: "Workspace", path: Path) -> None:
    """Write the workspace as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(made), indent=1, ensure_ascii=False), encoding="utf-8")


def save(made: "Workspace") -> str:
    """Save it on the server; its address.

    Raises:
        ArtifactError: the server does not take it.
    """
    try:
        made.save()
    except Exception as error:  # of W&B's clients, which have no class in common
        raise ArtifactError(f"W&B does not take the workspace: {error}") from None
    return str(made.url)


def _metric(wr: Any, name: str) -> Any:
    where, _, key = name.partition(":")
    return wr.Config(key.removesuffix(".value")) if where == "config" else wr.SummaryMetric(key)
