"""(c) xalign: a run's own training, from its inputs on; only the gate is put around each step."""

import functools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from system import Gate, Setup
from torch.utils._python_dispatch import _disable_current_modes

from xalign.base.decisions import Decisions
from xalign.data.parallel import Splits
from xalign.models.backbone import Backbone
from xalign.training.fit import fit
from xalign.training.inputs import training_inputs
from xalign.training.module import AlignedModel
from xalign.training.prepare import prepare
from xalign.workspace.environment import keep_freed_memory, quiet_libraries
from xalign.workspace.folder import RunFolder

_STEP, _OPTIMIZERS = AlignedModel.training_step, AlignedModel.configure_optimizers


def drive(setup: Setup, gate: Gate) -> None:
    """`fit` as a run calls it."""
    quiet_libraries()
    keep_freed_memory()  # as runs do

    def gated(module: AlignedModel, batch: Any, batch_idx: int) -> None:
        gate.open()
        _STEP(module, batch, batch_idx)
        metrics = module.last_metrics
        gate.close(
            {name.removeprefix("loss/"): metrics[name] for name in metrics if name.startswith("loss/")}
        )

    def uncounted(module: AlignedModel) -> Any:
        """torch compiles nothing while operations are counted, and an update multiplies no matrices."""
        made = _OPTIMIZERS(module)
        step = made["optimizer"].step

        @functools.wraps(step)
        def plain(*args: Any, **kwargs: Any) -> Any:
            with _disable_current_modes():
                return step(*args, **kwargs)

        made["optimizer"].step = plain
        return made

    AlignedModel.training_step = gated  # type: ignore[method-assign]
    AlignedModel.configure_optimizers = uncounted  # type: ignore[method-assign]
    corpus = setup.texts.corpus
    backbone = Backbone(setup.model, setup.tokenizer)
    splits = Splits(corpus, corpus, corpus)
    prepared = replace(
        prepare(setup.config, backbone, splits, setup.layer), instructions=setup.texts.instructions
    )
    inputs = training_inputs(setup.config, backbone, prepared, setup.dtype, Decisions(quiet=True))
    with tempfile.TemporaryDirectory() as folder:
        fit(setup.config, RunFolder(Path(folder)), inputs)
