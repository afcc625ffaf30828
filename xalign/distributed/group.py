"""The process group of a run's ranks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from xalign.config.schema import Config


@contextmanager
def process_group(config: Config) -> Iterator[None]:
    """Connect this rank with the others that the environment names; Lightning takes the group as it is.

    A rank that does not answer for `strategy.timeout_minutes` ends the training of all.
    """
    timeout = timedelta(minutes=config.strategy.timeout_minutes)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=timeout)
    else:
        dist.init_process_group("gloo", timeout=timeout)
    yield
    # Only where all went well: the others may be waiting, and only this process's end frees them.
    dist.destroy_process_group()
