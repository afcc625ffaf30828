"""Ranks that torchrun or srun has started: the first one runs the experiment, the others follow it.

The first composes the config, measures and writes; the others wait for the folder of a run that is to be
trained, train it with the first, and wait again, until they are dismissed.
"""

import itertools
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from xalign.base.errors import RunError
from xalign.config.schema import Config
from xalign.distributed.group import process_group
from xalign.distributed.world import World
from xalign.runs.failures import Cause, failure_of
from xalign.runs.rank import train
from xalign.training.fit import fit
from xalign.training.inputs import TrainingInputs
from xalign.workspace.folder import RunFolder

_LEFT = "xalign/left"


class Workers:
    """What the first rank has of the others. As a context: they are dismissed at its end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._store = _meeting(world)
        self._number = itertools.count()

    def fit(self, config: Config, folder: RunFolder, inputs: TrainingInputs) -> None:
        """Train, together with the others: `fit` on each of them.

        Raises:
            RunError: they do not answer.
        """
        self._announce(str(folder.path.resolve()))
        with lost_ranks_told(self.world), process_group(config):
            fit(config, folder, inputs)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self._announce("")
        # This process may be the one that keeps the store: they should have read it.
        until = time.monotonic() + 5
        while self._store.add(_LEFT, 0) < self.world.ranks - 1 and time.monotonic() < until:
            time.sleep(0.05)

    def _announce(self, what: str) -> None:
        self._store.set(_key(next(self._number)), what)


def work(world: World) -> None:
    """Train whatever the first rank announces, until it dismisses us.

    Raises:
        RunError: the first rank is gone, or does not answer.
    """
    store = _meeting(world)
    for number in itertools.count():
        try:
            # Not `wait`: it would hold back signals as long as the first rank measures.
            while not store.check([_key(number)]):
                time.sleep(0.2)
            path = store.get(_key(number)).decode()
            if not path:
                store.add(_LEFT, 1)
                return
        except dist.DistError as error:
            raise RunError(f"rank {world.rank} on {socket.gethostname()}: the first rank is gone") from error
        with lost_ranks_told(world):
            train(RunFolder(Path(path)), None)


@contextmanager
def lost_ranks_told(world: World) -> Iterator[None]:
    """Inside, a collective operation that fails becomes one message.

    Raises:
        RunError: instead of whatever torch raises.
    """
    try:
        yield
    except RuntimeError as error:
        failure = failure_of(error, socket.gethostname())
        if failure.cause is not Cause.lost:
            raise
        raise RunError(
            f"rank {world.rank} of {world.ranks} on {failure.host} has lost the others ({failure.message}): "
            "one has failed, and says so itself, or hangs. The same command goes on from the last checkpoint"
        ) from error


def _meeting(world: World) -> TCPStore:
    """Where the ranks meet: torchrun's own store, or one that the first rank keeps."""
    of_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(
        address,
        port,
        is_master=world.rank == 0 and not of_agent,
        wait_for_workers=False,
        timeout=timedelta(minutes=10),
    )
    # The process group's is this one.
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = str(True)
    return store


def _key(number: int) -> str:
    return f"xalign/run/{number}"
