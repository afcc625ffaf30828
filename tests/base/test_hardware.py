"""The machine's speed and memory."""

import pytest
import torch

from xalign.base.hardware import free_memory, is_out_of_memory, peak_flops, peak_memory

CPU = torch.device("cpu")


def test_peak_is_above_what_a_product_reaches_now_and_is_measured_once() -> None:
    peak = peak_flops(CPU, torch.float32)
    # From the slowest machine that could run this to the fastest CPU.
    assert 1e8 < peak < 1e14
    assert peak_flops(CPU, torch.float32) == peak


def test_memory_is_in_bytes() -> None:
    # This process holds Python and torch, and not the whole machine.
    before = peak_memory(CPU)
    assert 5e7 < before < 1e12
    held = torch.ones(50_000_000)
    assert peak_memory(CPU) >= before
    assert free_memory(CPU) > held.nbytes / 1000


@pytest.mark.parametrize(
    ("error", "about_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried 9 bytes"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if ..."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_that_are_about_memory(error: Exception, about_memory: bool) -> None:
    assert is_out_of_memory(error) is about_memory


def test_torch_says_so_in_words_that_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
