"""What every system gets, and the gate at which the parent asks for one more step and is told its cost."""

import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from texts import Texts, trained_tokenizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from xalign.config.schema import Config
from xalign.models.loading import load_model_and_tokenizer


@dataclass(frozen=True)
class Setup:
    """A system's model, texts and settings; `layer` is the aligned one, `dtype` that of matrix products."""

    config: Config
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    texts: Texts
    layer: int
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class Step:
    """One step: its time, memory before it and its peak, the losses; operations where counted."""

    seconds: float
    before_mib: float
    peak_mib: float
    losses: dict[str, float]
    operations: float | None


class Gate:
    """Stands around every optimizer step of a system; what is outside it is not timed."""

    def __init__(self, pipe: Connection, device: torch.device) -> None:
        self.pipe, self.device = pipe, device

    def open(self) -> None:
        """Wait until a step is asked for, then start the clock; `None` ends the process."""
        asked = self.pipe.recv()
        if asked is None:
            # Trainers would want to save what they have.
            os._exit(0)
        self.counter = OperationCounter() if asked == "count" else None
        self.before_mib = self._reset_peak()
        if self.counter:
            self.counter.__enter__()
        self._synchronize()
        self.begin = time.perf_counter()

    def close(self, losses: dict[str, float]) -> None:
        """Stop the clock and tell the parent."""
        self._synchronize()
        seconds = time.perf_counter() - self.begin
        operations = None
        if self.counter:
            self.counter.__exit__(None, None, None)
            operations = float(self.counter.total)
        self.pipe.send(Step(seconds, self.before_mib, self._peak_mib(), losses, operations))

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _reset_peak(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")
        return self._peak_mib()

    def _peak_mib(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        status = Path("/proc/self/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


_AttentionOnCpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_AttentionOnCpuBackward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class OperationCounter(TorchDispatchMode):
    """Operations of the matrix products and attention kernels that run inside, by torch's formulas."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        kind = func.overloadpacket
        # torch has formulas for the GPU's attention kernels only.
        if kind is _AttentionOnCpu:
            self.total += sdpa_flop_count(*(x.shape for x in args[:3]))
        elif kind is _AttentionOnCpuBackward:  # five products where forward has two
            self.total += sdpa_flop_count(*(x.shape for x in args[1:4])) * 5 // 2
        elif kind in flop_registry:
            self.total += flop_registry[kind](*args, **kwargs, out_val=out)
        return out


def load(config: Config, data: Path, device: torch.device) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in float32 on its device and its tokenizer; random weights get one made of the texts."""
    if config.model.pretrained or config.model.name == "tiny":
        model, tokenizer = load_model_and_tokenizer(config.model)
        return model.to(device), tokenizer
    tokenizer = trained_tokenizer(data)
    values = dict(config.model.architecture)
    network = AutoConfig.for_model(
        values.pop("model_type"), **values, pad_token_id=0, bos_token_id=1, eos_token_id=2
    )
    # Losses can be compared, and no block vanishes.
    for name in ("dropout", "attention_dropout", "activation_dropout", "layerdrop"):
        if hasattr(network, name):
            setattr(network, name, 0.0)
    torch.manual_seed(0)
    with device:
        model = AutoModelForCausalLM.from_config(network, dtype=torch.float32)
    return model, tokenizer


def autocast(setup: Setup) -> torch.autocast:
    low = setup.dtype is not torch.float32
    return torch.autocast(setup.device.type, setup.dtype if low else torch.bfloat16, enabled=low)


def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Operations a second of a large square matrix product: the best of those that fit into the time."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        begin = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best
