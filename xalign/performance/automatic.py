"""What is chosen for the user: device, precision, layer, threads, micro-batch, each with its reason."""

import os

import torch

from xalign.base.decisions import Decisions
from xalign.config.choices import Precision
from xalign.distributed.world import JOBS_AT_ONCE, cores, threads_asked


def choose_device(decisions: Decisions) -> torch.device:
    """The GPU where there is one."""
    if torch.cuda.is_available():
        decisions.add("device", "cuda", torch.cuda.get_device_name())
        return torch.device("cuda")
    decisions.add("device", "cpu", "torch sees no GPU")
    return torch.device("cpu")


def choose_precision(
    wanted: Precision, device: torch.device, decisions: Decisions, what: str = "precision"
) -> torch.dtype:
    """bf16 where the hardware computes in it natively, else fp32; or what the config says."""
    if wanted is not Precision.auto:
        dtype = torch.bfloat16 if wanted is Precision.bf16 else torch.float32
        decisions.add(what, wanted.value, "set in the config")
        return dtype
    if device.type == "cuda":
        native, reason = torch.cuda.is_bf16_supported(including_emulation=False), "the GPU"
    else:
        # What torch's own dispatch asks; there is no public question.
        native, reason = (
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(),
            "the CPU",
        )
    verb = "computes" if native else "does not compute"
    decisions.add(what, "bf16" if native else "fp32", f"{reason} {verb} in bf16 natively")
    return torch.bfloat16 if native else torch.float32


def choose_layer(configured: int | None, depth: int, decisions: Decisions) -> int:
    """The aligned layer: half of the depth, where alignment peaks before training, unless configured."""
    if configured is not None:
        return configured
    layer = max(1, depth // 2)
    decisions.add("loss.layer", layer, f"half of the model's {depth} blocks, where alignment is highest")
    return layer


def choose_threads(
    configured: int | None, ranks: int, decisions: Decisions, what: str = "trainer.threads"
) -> int:
    """CPU threads of this rank; more threads than cores cost several times the speed.

    Cores are shared with the other ranks, and with the jobs of a sweep that run beside this one; of this
    share, the user's OMP_NUM_THREADS takes less.
    """
    jobs = int(os.environ.get(JOBS_AT_ONCE, 1))
    share, asked = max(1, cores() // (ranks * jobs)), threads_asked()
    threads = configured or min(share, asked or share)
    if configured is None and threads < share:
        decisions.add(what, threads, f"OMP_NUM_THREADS, of {share} that it could be")
    elif configured is None:
        shared = f"{ranks} rank{'s' * (ranks > 1)}" + (f" of each of {jobs} jobs" if jobs > 1 else "")
        decisions.add(what, threads, f"{cores()} cores shared by {shared}")
    torch.set_num_threads(threads)
    return threads


def choose_micro_batch(
    configured: str, largest: int, decisions: Decisions, *, room: float, token: float, reserve: float
) -> int:
    """Tokens, padding included, of one pass: the largest power of two that fits, unless configured.

    Args:
        configured: `auto`, or the number.
        largest: tokens of the largest part of a step; more has no meaning.
        decisions: where the reason is kept.
        room: bytes free for activations, all else that training needs being there.
        token: bytes of activations a token.
        reserve: share of `room` that is left free.
    """
    if configured != "auto":
        decisions.add("trainer.micro_batch", configured, "set in the config")
        return int(configured)
    needed = 1 << (largest - 1).bit_length()
    fitting = 1 << max(0, int(room * (1 - reserve) / token).bit_length() - 1)
    found = f"{token / 1e3:.0f} kB of activations a token, {room / 1e9:.1f} GB free for them"
    if fitting >= needed:
        decisions.add("trainer.micro_batch", needed, f"a step's largest part fits: {found}")
    else:
        decisions.add("trainer.micro_batch", fitting, f"what fits, {reserve:.0%} in reserve: {found}")
    return min(fitting, needed)
