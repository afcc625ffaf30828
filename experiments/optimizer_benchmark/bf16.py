"""What 30 contrastive steps do to weights kept in float32, in bf16, and in bf16 with stochastic rounding.

    python experiments/optimizer_benchmark/bf16.py [--steps 30] [--lr 1e-5] [--blocks 4] ...

The first blocks of Gemma 3 270M are trained with AdamW (moments in float32) on Tatoeba's German-English
pairs, from the same weights (rounded to bf16) and on the same batches; all arithmetic is float32, so that
only the weights' rounding after each step differs.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.schema import EvaluateConfig
from xalign.models.loading import load_model_and_tokenizer

BATCH, HELD_OUT, TAU = 8, 128, 0.05
Pairs = list[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = resolve(compose_config("evaluate", ["model=gemma3_270m"]), EvaluateConfig)
    model, tokenizer = load_model_and_tokenizer(config.model, 0)
    decoder = model.get_decoder()
    decoder.layers = decoder.layers[: options.blocks]
    decoder.norm = nn.Identity()
    decoder.embed_tokens.requires_grad_(False)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(parameter.bfloat16())
    lines = [
        (options.data / "tatoeba" / f"tatoeba.deu-eng.{side}").read_text().splitlines()
        for side in ("deu", "eng")
    ]
    pairs = list(zip(*lines, strict=True))
    print("| weights | loss on held-out pairs | distance moved | part of float32's way | weights moved |")
    print("| --- | --- | --- | --- | --- |")
    parameters = [p for p in decoder.parameters() if p.requires_grad]
    start = [p.detach().clone() for p in parameters]
    print(f"| before | {loss_of(decoder, tokenizer, pairs[-HELD_OUT:]):.4f} | | | |", flush=True)
    reference: list[Tensor] = []
    for name, rounded in ROUNDINGS.items():
        with torch.no_grad():
            for parameter, value in zip(parameters, start, strict=True):
                parameter.copy_(value)
        train(decoder, tokenizer, pairs, rounded, options.steps, options.lr)
        moved = [p.detach() - s for p, s in zip(parameters, start, strict=True)]
        reference = reference or moved
        squared = sum(float(r.pow(2).sum()) for r in reference)
        along = sum(float((m * r).sum()) for m, r in zip(moved, reference, strict=True)) / squared
        length = sum(float(m.pow(2).sum()) for m in moved) ** 0.5
        share = sum(int(m.count_nonzero()) for m in moved) / sum(m.numel() for m in moved)
        loss = loss_of(decoder, tokenizer, pairs[-HELD_OUT:])
        print(f"| {name} | {loss:.4f} | {length:.3f} | {along:.2f} | {share:.0%} |", flush=True)


def train(
    decoder: nn.Module,
    tokenizer: object,
    pairs: Pairs,
    rounded: Callable[[Tensor], Tensor],
    steps: int,
    lr: float,
) -> None:
    torch.manual_seed(0)
    parameters = [p for p in decoder.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr, weight_decay=0.0, fused=True)
    for step in range(steps):
        optimizer.zero_grad()
        contrastive(decoder, tokenizer, pairs[BATCH * step : BATCH * (step + 1)]).backward()
        optimizer.step()
        with torch.no_grad():
            for parameter in parameters:
                parameter.copy_(rounded(parameter))


@torch.no_grad()
def loss_of(decoder: nn.Module, tokenizer: object, pairs: Pairs) -> float:
    batches = [pairs[i : i + BATCH] for i in range(0, len(pairs), BATCH)]
    return sum(float(contrastive(decoder, tokenizer, b)) for b in batches) / len(batches)


def contrastive(decoder: nn.Module, tokenizer, pairs: Pairs) -> Tensor:  # type: ignore[no-untyped-def]
    """InfoNCE of mean-pooled states, sources against targets."""
    texts = [text for side in zip(*pairs, strict=True) for text in side]
    tokens = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    hidden_BTD = decoder(**tokens, use_cache=False).last_hidden_state
    mask_BT1 = tokens["attention_mask"][..., None].clone()
    mask_BT1[:, 0] = 0  # <bos>
    source, target = normalize((hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1), dim=-1).chunk(2)
    return cross_entropy(source @ target.T / TAU, torch.arange(len(pairs)))


def plainly(weights: Tensor) -> Tensor:
    return weights.bfloat16().float()


def stochastically(weights: Tensor) -> Tensor:
    """To one of the two nearest bf16 numbers, to the nearer one the likelier: right on average."""
    bits = weights.view(torch.int32)
    noise = torch.randint_like(bits, 0, 1 << 16)
    return ((bits + noise) & -(1 << 16)).view(torch.float32)


ROUNDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "float32": lambda weights: weights,
    "bf16, rounded to nearest": plainly,
    "bf16, rounded stochastically": stochastically,
}


if __name__ == "__main__":
    main()
