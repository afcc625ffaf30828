"""One rank's process: everything up to training as in the run's first process, then training alone.

Started by `launch.launch` as `python -m xalign.runs.rank FOLDER`, or by torchrun or srun as
`python -m xalign.run ...` (`workers.work`). All that it is given is the run's folder: composing the
config a second time is how sweeps end up mixed.
"""

import ctypes
import faulthandler
import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xalign.workspace.folder import RunFolder


def main() -> None:
    """A rank that `launch.launch` started; how it failed is reported by the parent."""
    _die_with_parent()
    from xalign.runs.failures import STACK_SIGNAL, failure_of, log_of, report
    from xalign.workspace.folder import RunFolder

    folder, rank = RunFolder(Path(sys.argv[1])), int(os.environ["RANK"])
    with log_of(folder, rank).open("a", encoding="utf-8") as file:
        faulthandler.enable(file)
        faulthandler.register(STACK_SIGNAL, file)
        try:
            train(folder, log_of(folder, rank) if rank == 0 else None)
        except BaseException as error:
            failure = failure_of(error, socket.gethostname())
            report(failure, rank)
            with suppress(OSError):  # where the disk is full, there is no log
                if failure.is_crash:
                    traceback.print_exc(file=file)
                file.flush()
            # Not by way of atexit: what is done there may wait for ranks that will not come.
            os._exit(failure.exit_code)


def train(folder: "RunFolder", log_file: Path | None) -> None:
    """Train from the folder's written config, as the rank that the environment says.

    Raises:
        XalignError: whatever the user can mend.
        Stopped: a signal asked for it.
    """
    import torch
    import yaml

    from xalign.base.decisions import Decisions
    from xalign.base.stopping import stoppable
    from xalign.cli.validation import resolve
    from xalign.config.choices import StrategyName
    from xalign.config.schema import Config
    from xalign.distributed.group import process_group
    from xalign.models.context import within_context
    from xalign.models.instruct import with_settled_template
    from xalign.performance.automatic import (
        choose_layer,
        choose_precision,
        choose_threads,
    )
    from xalign.runs.measurement import load_backbone, load_to_shard
    from xalign.training.beginnings import read_vectors
    from xalign.training.fit import fit
    from xalign.training.inputs import training_inputs
    from xalign.training.prepare import prepare
    from xalign.training.splits import load_splits
    from xalign.workspace.commits import at_commits
    from xalign.workspace.environment import (
        keep_freed_memory,
        quiet_libraries,
        return_freed_memory,
        set_up_logging,
    )

    config = resolve(yaml.safe_load(folder.config.read_text(encoding="utf-8")), Config)
    config = at_commits(config, folder.known().get("hub") or {})
    set_up_logging(log_file)
    quiet_libraries()
    sharded = config.strategy.name is StrategyName.fsdp
    (return_freed_memory if sharded else keep_freed_memory)()
    decisions = Decisions(quiet=True)
    choose_threads(config.trainer.threads, config.trainer.devices, decisions)
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    with stoppable():
        splits, _ = load_splits(config)
        # What begins with a part of the weights takes it out of them as they are in float32.
        stored = sharded and not config.adapter.changes_weights
        backbone = (load_to_shard if stored else load_backbone)(config.model, device, config.seed)
        config = with_settled_template(within_context(config, backbone, decisions), backbone, decisions)
        dtype = choose_precision(config.trainer.precision, device, decisions)
        layer = choose_layer(config.loss.aligned_layer, backbone.depth, decisions)
        prepared = prepare(config, backbone, splits, layer)
        chosen = folder.known()  # by the first process, for all
        inputs = training_inputs(
            config,
            backbone,
            prepared,
            dtype,
            decisions,
            micro_batch=chosen["micro_batch"],
            packed=chosen["packed"],
            texts=folder.own_texts(),
            vectors=read_vectors(folder.path),
        )
        with process_group(config):
            fit(config, folder, inputs)


def _die_with_parent() -> None:
    """Let the system kill this process when its parent dies, by whatever means (Linux)."""
    pr_set_pdeathsig = 1
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    from xalign.runs.failures import PARENT

    if os.getppid() != int(os.environ[PARENT]):  # it died before
        sys.exit(1)


if __name__ == "__main__":
    main()
