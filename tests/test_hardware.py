"""The machine's speed and memory."""

import torch

from xalign.hardware import free_memory, peak_flops, peak_memory

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
