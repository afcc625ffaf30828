"""Training on several devices: one process a rank, each started from the run's written config.

Composing the config a second time in every rank is how sweeps end up mixed; here nothing but the
folder's path is handed on. The parent trains nothing: it waits, then takes up the last checkpoint.
"""

import os
import subprocess
import sys
from pathlib import Path

import torch
import yaml

from xalign.config import Config
from xalign.data.parallel import load_corpus, split_corpus
from xalign.environment import keep_freed_memory, quiet_libraries, set_up_logging
from xalign.errors import RunError, user_facing
from xalign.measurement import load_backbone
from xalign.training.decisions import Decisions, choose_layer, choose_precision, choose_threads
from xalign.training.fit import fit
from xalign.training.folder import RunFolder
from xalign.training.inputs import training_inputs
from xalign.validation import resolve


def launch(config: Config, folder: RunFolder) -> None:
    """Start `trainer.devices` ranks on this machine and wait for them.

    Raises:
        RunError: a rank failed; its own message stands above.
    """
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        f"--nproc-per-node={config.trainer.devices}",
        *("-m", "xalign.training.ranks", str(folder.path)),
    ]
    # torchrun would otherwise warn and choose one thread; each rank sets its own number.
    environment = {**os.environ, "OMP_NUM_THREADS": str(config.trainer.threads or 1)}
    done = subprocess.run(command, check=False, env=environment)
    if done.returncode:
        raise RunError(f"training on {config.trainer.devices} ranks failed with status {done.returncode}")


@user_facing
def main() -> None:
    """One rank: everything up to training as in the parent, then training alone."""
    folder = RunFolder(Path(sys.argv[1]))
    config = resolve(yaml.safe_load(folder.config.read_text(encoding="utf-8")), Config)
    set_up_logging(None)
    quiet_libraries()
    keep_freed_memory()
    decisions = Decisions(quiet=True)
    choose_threads(config.trainer.threads, config.trainer.devices, decisions)
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    else:
        device = torch.device("cpu")
    languages = config.languages
    corpus, _ = load_corpus(config.data, languages.pivot, [*languages.targets, *languages.unseen])
    splits = split_corpus(corpus, languages.pivot, config.data.validation_fraction, config.data.test_fraction)
    backbone = load_backbone(config.model, device, config.seed)
    dtype = choose_precision(config.trainer.precision, device, decisions)
    layer = choose_layer(config.loss.layer, backbone.depth, decisions)
    micro_batch = folder.known().get("micro_batch")  # what the parent has chosen for all
    inputs = training_inputs(config, backbone, splits, layer, dtype, decisions, micro_batch=micro_batch)
    fit(config, folder, inputs)


if __name__ == "__main__":
    main()
