"""Memory and communication of a step by arithmetic, for models and numbers of GPUs that are not at hand.

    python experiments/scaling/paper.py        # the tables of docs/scaling.md

Counted as xalign trains: parameters in float32, products in bf16, AdamW. Activations are left out: they are
what `trainer.micro_batch` makes them. M bytes that are gathered from or scattered to N ranks are, by a ring,
M (N - 1) / N bytes that each rank sends; summed, 2 M (N - 1) / N (Patarasuk & Yuan 2009, sections 2 and 3).
"""

import math
from dataclasses import dataclass

LINK, NETWORK = 450e9, 50e9
"""Bytes a second that a GPU sends within a machine of 8 (H100 data sheet: NVLink, 900 GB/s both ways
together) and out of it (a 400 Gb/s adapter each)."""

SPEED = 0.4 * 989e12
"""Operations a second: 40 % of the H100's bf16 peak (data sheet, without sparsity)."""

MACHINE = 8
"""GPUs that `LINK` joins."""

RANKS = (8, 64, 512)


@dataclass(frozen=True, kw_only=True)
class Model:
    """Sizes that everything follows from."""

    name: str
    blocks: int
    width: int
    vocabulary: int
    tied: bool
    matrices: int
    """Weights of a block's matrices."""
    sides: int
    """Inputs and outputs of these matrices together: what a low-rank adapter's size grows with."""

    @property
    def tables(self) -> int:
        """Weights of embeddings and head."""
        return self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """Norms and biases left out: a thousandth."""
        return self.blocks * self.matrices + self.tables

    def adapters(self, rank: int = 16) -> int:
        """Weights of low-rank adapters on all of the blocks' matrices."""
        return rank * self.blocks * self.sides


MODELS = (
    # Four attention matrices D x D, two of D x 4 D.
    Model(
        name="0.5B (XGLM-564M)", blocks=24, width=1024, vocabulary=256_008, tied=True,
        matrices=12 * 1024**2, sides=18 * 1024,
    ),
    Model(
        name="7B (XGLM-7.5B)", blocks=32, width=4096, vocabulary=256_008, tied=True,
        matrices=12 * 4096**2, sides=18 * 4096,
    ),
    # Two attention matrices D x D, two of D x 1024, three of D x 28672.
    Model(
        name="70B (Llama 3)", blocks=80, width=8192, vocabulary=128_256, tied=False,
        matrices=2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672,
        sides=4 * 8192 + 2 * (8192 + 1024) + 3 * (8192 + 28672),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Objective:
    """A pass of a step: the share of the blocks it runs, and how often it runs them forward."""

    depth: float
    forward: int


CONTRASTIVE, INSTRUCTION, RETENTION = Objective(0.5, 1), Objective(1.0, 1), Objective(1.0, 2)
OBJECTIVES = {"lora": (CONTRASTIVE, INSTRUCTION, RETENTION), "full": (CONTRASTIVE, INSTRUCTION)}
"""Of `loss=afp`; in full fine-tuning without retention, whose model before training is not counted here."""


@dataclass(frozen=True)
class Memory:
    """Bytes on each GPU, without activations."""

    weights: float
    rounded: float
    """bf16 copies of weights."""
    gradients: float
    """Of each objective: they are clipped one by one, and then joined."""
    optimizer: float
    gathered: float
    """While a block runs, or its gradients are on their way: what is whole then."""

    @property
    def total(self) -> float:
        return self.weights + self.rounded + self.gradients + self.optimizer + self.gathered


def trained(model: Model, method: str) -> int:
    """Parameters that are trained: `lora` or `full`."""
    return model.adapters() if method == "lora" else model.parameters


def memory(model: Model, strategy: str, method: str, ranks: int) -> Memory:
    """Without sharding all is on every rank: 4 P + 2 P + (4 K + 8) T bytes for P parameters of which T are
    trained, with K objectives (two moments: Loshchilov & Hutter 2019). Sharded, each rank keeps 1/N of the
    model's, as in stage 3 of ZeRO (Rajbhandari et al. 2020, section 5.3), and all of the adapters.
    """
    parameters, own, count = model.parameters, trained(model, method), len(OBJECTIVES[method])
    states = float(own * 4 * count), float(own * 8)
    if strategy == "ddp":
        return Memory(4 * parameters, 2 * parameters, *states, gathered=0)
    head = model.vocabulary * model.width
    # Tables as they are, the head rounded; two blocks in bf16, the next being gathered while one runs.
    gathered = 4 * model.tables + 2 * head + 2 * 2 * model.matrices
    if method == "lora":
        return Memory(4 * (parameters + ranks * own) / ranks, 0, *states, gathered)
    # Gradients before they are scattered: a block's in bf16 and float32, the tables' in float32.
    gathered += (2 + 4) * model.matrices + 4 * model.tables
    return Memory(4 * parameters / ranks, 0, states[0] / ranks, states[1] / ranks, gathered)


def sent(model: Model, strategy: str, method: str, ranks: int) -> float:
    """Bytes that a GPU sends a step, one micro-batch each objective; more make as many times more if sharded.

    Blocks are gathered in bf16 for each forward and each backward pass, embeddings and head in float32 once a
    pass; gradients are summed in float32.
    """
    total = 0.0
    for objective in OBJECTIVES[method]:
        blocks = objective.depth * model.blocks * model.matrices
        reached = blocks + model.tables if method == "full" else objective.depth * model.adapters()
        if strategy == "ddp":
            total += 2 * 4 * reached
        else:
            total += 2 * blocks * (objective.forward + 1) + 4 * model.tables
            total += 4 * reached * (1 if method == "full" else 2)
    return total * (ranks - 1) / ranks


def seconds(model: Model, strategy: str, method: str, ranks: int) -> float:
    """Of sending alone; a ring is as slow as its slowest link."""
    return sent(model, strategy, method, ranks) / (LINK if ranks <= MACHINE else NETWORK)


def tokens_to_hide(model: Model, strategy: str, method: str, ranks: int) -> float:
    """Tokens a GPU and step (each through half the blocks or all, as the objectives share them out) whose
    arithmetic takes as long as the sending: 6 operations a weight and token, 4 where the weights are frozen
    (Kaplan et al. 2020, section 2.1)."""
    operations = (6 if method == "full" else 4) * model.blocks * model.matrices
    return seconds(model, strategy, method, ranks) * SPEED / operations


def memory_table() -> str:
    """Markdown: gigabytes a GPU without activations, by number of GPUs."""
    lines = [
        "| model | trained | GB a GPU: ddp | fsdp, 8 GPUs | 64 | 512 |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for model in MODELS:
        for method in OBJECTIVES:
            sharded = [memory(model, "fsdp", method, n).total for n in RANKS]
            held = [memory(model, "ddp", method, 1).total, *sharded]
            lines.append(f"| {model.name} | {method} | " + " | ".join(_short(b / 1e9) for b in held) + " |")
    return "\n".join(lines)


def traffic_table() -> str:
    """Markdown: what a GPU sends, how long that takes, and how many tokens take as long."""
    lines = [
        "| model | trained | strategy | GB sent a step | seconds: 8 GPUs | 512 | tokens to hide: 8 | 512 |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for model in MODELS:
        for method in OBJECTIVES:
            for strategy in ("ddp", "fsdp"):
                figures = [sent(model, strategy, method, RANKS[-1]) / 1e9]
                figures += [seconds(model, strategy, method, n) for n in (RANKS[0], RANKS[-1])]
                figures += [tokens_to_hide(model, strategy, method, n) for n in (RANKS[0], RANKS[-1])]
                cells = [model.name, method, strategy, *map(_short, figures)]
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _short(number: float) -> str:
    """Two digits, as few zeros as that takes."""
    digits = 1 - math.floor(math.log10(number))
    return f"{round(number, digits):,.{max(0, digits)}f}"


if __name__ == "__main__":
    print(memory_table(), traffic_table(), sep="\n\n")
