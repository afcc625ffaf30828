"""What the machine can do, measured: the speed of its matrix products, its memory, and that it is used up."""

import sys
import time
from functools import cache

import psutil
import torch

if sys.platform != "win32":
    import resource

SIZE = {"cuda": 8192, "cpu": 2048}
"""Rows and columns of the matrices whose product is timed."""


@cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a product of large square matrices: the best of several, after one to warm up.

    What this process reaches with its threads, not what a data sheet says: on the same machine the highest
    speed that a step could have. Takes less than a second.
    """
    size = SIZE.get(device.type, SIZE["cpu"])
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best, until = float("inf"), time.perf_counter() + 0.5
    out = a @ b
    while True:
        _wait(device)
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        _wait(device)
        now = time.perf_counter()
        best = min(best, now - started)
        if now > until:
            return 2 * size**3 / best


def free_memory(device: torch.device) -> int:
    """Bytes that the device (on CPU: the machine) can still give to this process."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return int(psutil.virtual_memory().available)


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has held so far: of the GPU, or resident in memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine's or the GPU's memory was not enough."""
    # torch has a class for it only where its own allocator on the GPU fails.
    signs = (
        "out of memory",
        "not enough memory",
        "DefaultCPUAllocator: can't allocate memory",
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED.",  # also where only memory is short (pytorch#4107)
    )
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in signs)
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
