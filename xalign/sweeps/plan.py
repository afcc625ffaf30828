"""What a command line sweeps over: its axes, its name, how many jobs share a machine."""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from shutil import which

from hydra._internal.utils import get_args_parser  # hydra.main's own: the same command line
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from xalign.base.errors import ConfigError
from xalign.cli.command_line import compose_config, first_line, given, is_for_hydra, variants
from xalign.cli.validation import resolve
from xalign.config.schema import Config
from xalign.distributed.world import cores
from xalign.sweeps.folder import Sweep
from xalign.trials.figures import falls, wanted
from xalign.workspace.content import default_folder


def sweep_of(arguments: Sequence[str]) -> Sweep | None:
    """The sweep that checked arguments of `xalign.run` ask for; None for a single run or a plan.

    It is named by its axes and by a hash of all that makes it, so that the same command finds the same
    folder again, and another command, or other defaults, another one.

    Raises:
        ConfigError: the launcher cannot start anything here.
    """
    parsed = get_args_parser().parse_args(arguments)
    if (
        parsed.cfg
        or parsed.info
        or not (parsed.multirun or given(parsed.overrides, "hydra.mode") == "MULTIRUN")
    ):
        return None
    own = [text for text in parsed.overrides if not is_for_hydra(text)]
    overrides = [OverridesParser.create().parse_override(text) for text in own]
    varied = [o for o in overrides if o.is_sweep_override()]
    first = [
        variants(o)[0] if o.is_sweep_override() else text for o, text in zip(overrides, own, strict=True)
    ]
    for_hydra = [text for text in parsed.overrides if is_for_hydra(text)]
    try:
        composed = compose_config("config", [*first, *for_hydra], with_hydra=True)
    except HydraException as error:
        raise ConfigError([first_line(error)]) from error
    with_hydra = composed.hydra
    config = resolve(OmegaConf.masked_copy(composed, [str(k) for k in composed if k != "hydra"]), Config)
    if config.plan:
        return None
    if with_hydra.runtime.choices["hydra/launcher"] == "submitit_slurm" and which("sbatch") is None:
        where = "start the sweep where jobs are submitted, or take submitit_local"
        raise ConfigError([f"hydra/launcher=submitit_slurm: there is no sbatch on this machine; {where}"])
    axes = {o.get_key_element(): str(o.input_line).partition("=")[2] for o in varied}
    searching = given(parsed.overrides, "hydra/sweeper") == "optuna"
    jobs = config.sweep.trials if searching else math.prod(len(variants(o)) for o in varied)
    content = [default_folder(config).name, sorted(axes.items()), wanted(config), searching]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]
    readable = re.sub(r"[^\w-]+", "_", "-".join(key.split(".")[-1] for key in axes) or "single")[:40]
    return Sweep(
        name=f"{readable}-{digest}",
        fixed=[text for o, text in zip(overrides, own, strict=True) if not o.is_sweep_override()],
        axes=axes,
        figures=wanted(config),
        falls=falls(config),
        searching=searching,
        jobs=jobs,
        at_once=_at_once(with_hydra, jobs, searching, config.sweep.batch),
    )


def _at_once(hydra: DictConfig, jobs: int, searching: bool, batch: int | None) -> int:
    """How many jobs the launcher runs on one machine at a time."""
    match hydra.runtime.choices["hydra/launcher"]:
        case "joblib":
            wanted = hydra.launcher.n_jobs
            # As joblib counts: -1 is every core, -2 all but one.
            most = wanted if wanted > 0 else max(1, cores() + 1 + wanted)
        case "submitit_local":
            most = min(jobs, cores()) if searching else jobs  # it starts all that it is given
        case "ray":
            most = max(1, int(cores() / hydra.launcher.cpus_per_job))
        case _:
            most = 1
    largest = hydra.sweeper.max_batch_size if "max_batch_size" in hydra.sweeper else None
    return max(1, min(most, jobs, batch or jobs, largest or jobs))
