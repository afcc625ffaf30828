"""Milliseconds and memory of optimizer steps for a large embedding table, and for the rest of a model.

    python experiments/optimizer_benchmark/run.py [--seen 2000 20000] [--repeats 7] [--threads 1]

The candidates take turns; medians, the first round left out.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from statistics import median

import torch
from torch import Tensor, nn

from xalign.training import gradients
from xalign.training.row_adamw import RowAdamW

VOCABULARY, WIDTH = 262_144, 640
TOKENS = 1_280  # a contrastive batch: 32 pairs of about 20 tokens
LR = 1e-5
# The matrices of Gemma 3 270M's blocks, and what rank-8 adapters add to them.
BLOCKS = [(2048, 640), (2048, 640), (640, 2048), (1024, 640), (640, 1024), (256, 640), (256, 640)] * 18
ADAPTERS = [shape for rows, columns in BLOCKS for shape in ((8, columns), (rows, 8))]

Optimizers = dict[str, torch.optim.Optimizer]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seen", nargs="+", type=int, default=[2_000, 20_000], help="rows seen so far")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print("| what | candidate | ms | MiB of state |\n| --- | --- | --- | --- |")
    for seen in options.seen:
        table_steps(seen, options.repeats)
    for name, shapes in (("all blocks", BLOCKS), ("adapters", ADAPTERS)):
        parameters = [nn.Parameter(torch.randn(shape)) for shape in shapes]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        contest(
            f"step, {name}: {sum(p.numel() for p in parameters) / 1e6:.1f} M",
            {"AdamW": torch.optim.AdamW(parameters, LR), "ours": row_adamw(parameters)},
            lambda _, optimizer: optimizer.step(),
            options.repeats,
        )


def table_steps(seen: int, repeats: int) -> None:
    """The step alone, then all that a step does with the table, once `seen` rows have had a gradient."""
    table = nn.Embedding(VOCABULARY, WIDTH)
    weight = table.weight
    optimizers: Optimizers = {
        "AdamW": torch.optim.AdamW([weight], LR, weight_decay=0.0),
        "AdamW, fused": torch.optim.AdamW([weight], LR, weight_decay=0.0, fused=True),
        "SparseAdam": torch.optim.SparseAdam([weight], LR),
        "ours": row_adamw([weight]),
    }
    known = torch.randperm(VOCABULARY)[:seen]
    weight.grad = gradient_of(known)
    optimizers["ours"].step()
    optimizers["SparseAdam"].step()
    texts = [known[torch.randint(seen, (TOKENS,))] for _ in range(repeats + 1)]
    rows = [gradient_of(text.unique()) for text in texts]
    dense = rows[0].to_dense()

    def step(turn: int, optimizer: torch.optim.Optimizer) -> None:
        weight.grad = dense if type(optimizer) is torch.optim.AdamW else rows[turn]
        optimizer.step()

    contest(f"step, {seen:,} rows seen", optimizers, step, repeats)
    direction = torch.randn(TOKENS, WIDTH)

    def whole(turn: int, optimizer: torch.optim.Optimizer) -> None:
        table.sparse = type(optimizer) is not torch.optim.AdamW
        optimizer.zero_grad()
        (table(texts[turn]) * direction).sum().backward()
        found = gradients.of([weight])
        gradients.scale_(found, min(1.0, 1.0 / float(gradients.norm(found))))
        weight.grad = found[0]
        optimizer.step()

    contest(f"backward, clip, step, {seen:,} rows seen", optimizers, whole, repeats)


def gradient_of(rows: Tensor) -> Tensor:
    """A random sparse gradient of the table."""
    values = torch.randn(len(rows), WIDTH)
    shape = (VOCABULARY, WIDTH)
    return torch.sparse_coo_tensor(rows[None], values, shape, check_invariants=True).coalesce()


def row_adamw(parameters: Iterable[nn.Parameter]) -> RowAdamW:
    return RowAdamW(parameters, LR, betas=(0.9, 0.999), eps=1e-8)


def contest(
    what: str, optimizers: Optimizers, step: Callable[[int, torch.optim.Optimizer], None], repeats: int
) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in optimizers}
    for turn in range(repeats + 1):
        for name, optimizer in optimizers.items():
            start = time.perf_counter()
            step(turn, optimizer)
            seconds[name].append(time.perf_counter() - start)
    for name, taken in seconds.items():
        print(
            f"| {what} | {name} | {1000 * median(taken[1:]):.1f} | {mib_of(optimizers[name]):.0f} |",
            flush=True,
        )


def mib_of(optimizer: torch.optim.Optimizer) -> float:
    values = [value for state in optimizer.state.values() for value in state.values()]
    tensors = [t for value in values for t in (value if isinstance(value, list) else [value])]
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor)) / 2**20


if __name__ == "__main__":
    main()
