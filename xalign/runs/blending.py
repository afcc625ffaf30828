"""How far the exported weights go from those before training to the trained ones: as configured, or chosen on
validation text, with the curve of alignment against use that it was chosen on."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from xalign.base.decisions import Decisions
from xalign.config.training import ExportConfig
from xalign.evaluation import blends
from xalign.evaluation.evaluate import evaluate, session_of
from xalign.evaluation.figures import best_of, harmless_figure
from xalign.evaluation.metrics import HARMLESS
from xalign.evaluation.results import Evaluation
from xalign.evaluation.task import Setting
from xalign.evaluation.use import harmless_alignment
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone
from xalign.training.callbacks.evaluate import figures

log = logging.getLogger(__name__)


def blend(adapter: Adapter, config: ExportConfig, load_before: Callable[[], Backbone]) -> None:
    """Take what was trained as far as configured, in place; `load_before` loads the model before training."""
    if config.shares != (1.0, 1.0):
        adapter.blend(*config.shares, load_before)
        text = "exported: %g of the way from the model before training, above layer %d %g"
        log.info(text, config.blend, adapter.layer, config.shares[1])


def choose_blend(
    adapter: Adapter,
    config: ExportConfig,
    validation: Setting,
    *,
    dtype: torch.dtype,
    load_before: Callable[[], Backbone],
    restore: Callable[[], object],
    folder: Path,
    decisions: Decisions,
) -> ExportConfig:
    """`config` with the best of its `blends`: the first of the most aligned that lost nothing significant
    against the model before training, as `harmless_alignment` says.

    Every share is measured on the validation text, and the curve written to `folder`. `restore` puts what was
    trained into the model, and has done so when this returns.

    Raises:
        DataError: a task lacks its data.
    """

    def measured(below: float, above: float) -> Evaluation:
        restore()
        adapter.blend(below, above, load_before)
        session = session_of(adapter.backbone, validation.benchmark)
        return evaluate(adapter.backbone, validation, model="", dtype=dtype, session=session).evaluation

    before = measured(0.0, 0.0)
    name, key = validation.benchmark.name, harmless_figure(validation.benchmark.name)
    points = [blends.Blend(0.0, figures(before.results, validation))]
    for share in sorted(set(config.blends), reverse=True):
        log.info("measuring %g of the way", share)
        now = measured(*replace(config, blend=share).shares)
        value = harmless_alignment(before, now, name, validation.aligned_layer, validation.seed)
        points.append(blends.Blend(share, figures(now.results, validation) | {key: value}))
        blends.write(points, folder)
    restore()
    by_share = {point.share: point.figures[key] for point in points[1:]}
    chosen = best_of(by_share, HARMLESS)
    assert chosen is not None
    listed = ", ".join(f"{share:g}: {value:.4g}" for share, value in by_share.items())
    decisions.add("export.blend", chosen, f"of {key} at {listed}")
    return replace(config, blend=chosen)
