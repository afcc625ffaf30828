"""What is checked of one tiny model, through xalign's own code; each ends silently or says what is wrong.

Shapes: B texts, T tokens, D hidden size, V vocabulary.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM

from xalign.config.choices import Pooling
from xalign.config.parts import AdapterConfig
from xalign.config.schema import ModelConfig
from xalign.data.collate import Arrangement, Tokens, arrange, pad
from xalign.evaluation.engine.generation import continue_greedily
from xalign.models import adapters
from xalign.models.adapters.lora import Lora
from xalign.models.backbone import Backbone, evaluating
from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.models.decoder import mean_of_streams
from xalign.models.dropout import enter_training
from xalign.models.export import export, require_exportable
from xalign.models.kinds import is_multimodal
from xalign.models.packing import packs_exactly
from xalign.objectives.passes import Pass
from xalign.performance.flops import costs_of
from xalign.runs.measurement import load_backbone

TOLERANCE = 1e-3
"""Relative difference that float32 rounding may make; another formula makes one of about 1."""
COUNTED = 0.02
"""Relative difference of operations counted and seen."""
WITHOUT_EMBEDDINGS = ("falcon_mamba", "mamba", "mamba2", "rwkv")
"""Types whose `hidden_states` begin after the first block, and end with the last one's, before and after the
norm."""
BREAK = byte_tokenizer()("\n", add_special_tokens=False)["input_ids"][0]
LENGTHS = (13, 4, 31, 22)


class Problem(Exception):
    """Something is not as it should be."""


def load(folder: Path) -> Backbone:
    """As a run loads it, rehearsing the export like a run."""
    backbone = load_backbone(ModelConfig(name="tiny", path=str(folder)), torch.device("cpu"), 0)
    require_exportable(backbone)
    return backbone


def states(backbone: Backbone) -> None:
    """Hidden states after every block equal the model's own `hidden_states`, and differ from each other."""
    row = _rows()[2]
    with evaluating(backbone):
        own = _own_states(backbone, row)
        for layer in range(backbone.depth + 1):
            found = backbone.hidden_states(_alone(row), layer)
            _require_equal(found, own[layer], f"layer {layer}")
    for layer in range(backbone.depth):
        if own[layer].shape == own[layer + 1].shape and _difference(own[layer], own[layer + 1]) < TOLERANCE:
            raise Problem(f"layer {layer + 1} changes nothing: the check sees no error in it")


def early_exit(backbone: Backbone) -> None:
    """No block above the layer runs."""
    ran: list[int] = []
    hooks = [
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, block in enumerate(backbone.blocks)
    ]
    with evaluating(backbone):
        for layer in range(backbone.depth + 1):
            ran.clear()
            backbone.hidden_states(_alone(_rows()[0]), layer)
            if set(ran) != set(range(layer)):
                raise Problem(f"layer {layer}: blocks {sorted(set(ran))} run")
    for hook in hooks:
        hook.remove()


def right_padding(backbone: Backbone) -> None:
    """Representations of padded texts are those of each alone."""
    _padding(backbone, pad(backbone.tokenizer, _rows()))


def left_padding(backbone: Backbone) -> None:
    """The same with padding in front."""
    rows = _rows()
    right, width = pad(backbone.tokenizer, rows), max(map(len, rows))
    turned = [
        torch.stack([row.roll(width - length) for row, length in zip(part, map(len, rows), strict=True)])
        for part in (right.input_ids, right.attention_mask, right.content_mask)
    ]
    _padding(backbone, Tokens(*turned))


def generation(backbone: Backbone) -> None:
    """Prompts of several lengths are continued as each alone, token by token."""
    prompts = ["Say: one two three four five, ", "Say: one two, ", "Say: one two three, "]
    found = continue_greedily(backbone, prompts, [6] * len(prompts), batch_tokens=2048)
    for prompt, answer in zip(prompts, found, strict=True):
        ids = backbone.tokenizer(prompt)["input_ids"]
        made: list[int] = []
        with evaluating(backbone):
            while len(made) < 6 and (not made or made[-1] not in (backbone.tokenizer.eos_token_id, BREAK)):
                logits_V = backbone.model(input_ids=torch.tensor([ids + made]), use_cache=False).logits[0, -1]
                made.append(int(logits_V.argmax()))
        wanted = str(backbone.tokenizer.decode(made, skip_special_tokens=True)).split("\n")[0].strip()
        if answer != wanted:
            raise Problem(f"{answer!r} follows a prompt where {wanted!r} does")


def packing(backbone: Backbone) -> bool:
    """Whether xalign lets texts share rows; right only if that is exact at every layer."""
    verdict, rows = packs_exactly(backbone), _rows()
    packed = arrange(backbone.tokenizer, rows, arrangement=Arrangement(packed=True))
    try:
        with evaluating(backbone):
            wrong = 0.0
            for layer in range(backbone.depth + 1):
                alone = [backbone.represent(_alone(row), layer, Pooling.mean) for row in rows]
                found = [backbone.represent(own, layer, Pooling.mean) for own in packed.buckets]
                wrong = max(wrong, _difference(torch.cat(found)[packed.order], torch.cat(alone)))
    except Exception:
        wrong = float("inf")
    if verdict and not wrong <= TOLERANCE:
        raise Problem(f"packing is taken for exact and differs by {wrong:.1g}")
    return verdict


def training(method: str) -> Callable[[Backbone, Path], dict[str, Any]]:
    """One step, then merged, saved, and loaded again by plain transformers."""

    def check(backbone: Backbone, folder: Path) -> dict[str, Any]:
        beside = {p for module in backbone.beside_text().values() for p in module.parameters(recurse=False)}
        towers = {n: p.detach().clone() for n, p in backbone.model.named_parameters() if p in beside}
        lora = Lora.Config(method="lora", r=4)
        adapter = adapters.attach(backbone, lora if method == "lora" else AdapterConfig(method=method))
        with evaluating(backbone):
            before = _logits(backbone)
        own = backbone.model.named_parameters()
        frozen = [] if method == "lora" else [name for name, p in own if not p.requires_grad]
        enter_training(backbone, dropout=False)
        _require_equal(_logits(backbone).detach(), before, "logits in training mode")
        idle = _step(backbone)
        with evaluating(backbone):
            trained = _logits(backbone)
        if not trained.isfinite().all():
            raise Problem("logits are not finite after a step")
        if _difference(trained, before) < 1e-4:
            raise Problem("a step changes no logits")
        export(adapter, folder / "model")
        kind = AutoModelForMultimodalLM if is_multimodal(backbone.model.config) else AutoModelForCausalLM
        plain = kind.from_pretrained(folder / "model", dtype=torch.float32).eval()
        with torch.no_grad():
            again = torch.cat([plain(input_ids=torch.tensor([row])).logits[0] for row in _rows()])
        _require_equal(again, trained, "logits of the exported model", limit=TOLERANCE)
        own = dict(plain.named_parameters())
        if other := [name for name, value in towers.items() if not torch.equal(own[name], value)]:
            raise Problem(f"{other[0]}, which text does not run through, is another after training")
        return {"idle": idle, "frozen": frozen, "beside": len(towers)}

    return check


def flops(backbone: Backbone) -> dict[str, float]:
    """Operations by `xalign.performance` over those that torch sees, forward and backward."""
    adapters.attach(backbone, AdapterConfig(method="full"))
    for change in ("set_attn_implementation", "set_experts_implementation"):
        try:
            getattr(backbone.model, change)("eager")  # what torch counts whole
        except Exception:
            continue
    costs, row = costs_of(backbone), _rows()[2]
    count, whole = len(row), costs.up_to(backbone.depth)
    forward = count * (whole.forward + costs.head.forward) + count**2 * whole.pair_forward
    backward = count * (whole.backward + costs.head.backward) + count**2 * whole.pair_backward
    none = {
        torch.ops.aten.convolution: lambda *_, **__: 0,
        torch.ops.aten.convolution_backward: lambda *_, **__: 0,
    }
    with FlopCounterMode(display=False, custom_mapping=none) as there:
        loss = backbone.head(backbone.hidden_states(_alone(row), backbone.depth)).sum()
    with FlopCounterMode(display=False, custom_mapping=none) as back:
        loss.backward()
    return {
        "forward": forward / max(1, there.get_total_flops()),
        "backward": backward / max(1, back.get_total_flops()),
    }


def _rows() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(5, 250, (length,), generator=generator).tolist() for length in LENGTHS]


def _alone(row: list[int]) -> Tokens:
    ids_1T = torch.tensor([row])
    return Tokens(ids_1T, torch.ones_like(ids_1T), torch.ones_like(ids_1T))


def _own_states(backbone: Backbone, row: list[int]) -> tuple[Tensor, ...]:
    found: tuple[Tensor, ...] = backbone.model(
        input_ids=torch.tensor([row]), output_hidden_states=True
    ).hidden_states
    if len(found) != backbone.depth + 1:
        raise Problem(f"{len(found)} hidden states of {backbone.depth} blocks")
    if backbone.model.config.model_type in WITHOUT_EMBEDDINGS:
        given: list[Tensor] = []
        hook = backbone.blocks[0].register_forward_pre_hook(lambda _, args: given.append(args[0]))
        backbone.model(torch.tensor([row]))
        hook.remove()
        found = (given[0], *found[:-2], found[-1])
    if found[-1].ndim == 4:
        # Gemma 3n: the streams after the last block; the head is checked with the logits.
        found = (*found[:-1], backbone.decoder(torch.tensor([row])).last_hidden_state)
    return tuple(mean_of_streams(states, (1, len(row)), backbone.width) for states in found)


def _padding(backbone: Backbone, tokens: Tokens) -> None:
    with evaluating(backbone):
        for layer in range(backbone.depth + 1):
            alone = [backbone.represent(_alone(row), layer, Pooling.mean) for row in _rows()]
            found = backbone.represent(tokens, layer, Pooling.mean)
            _require_equal(found, torch.cat(alone), f"layer {layer}")
        every = backbone.represent_all_layers(tokens, Pooling.mean)
        _require_equal(every[:, -1], found, "all layers at once")


def _logits(backbone: Backbone) -> Tensor:
    """Of every text alone (tokens of all, V)."""
    found = [backbone.logits_at(_alone(row), torch.ones(1, len(row), dtype=torch.bool)) for row in _rows()]
    return torch.cat(found)


def _step(backbone: Backbone) -> list[str]:
    """One step of both kinds of objective; names of what was to be trained and got no gradient."""
    own = {name: p for name, p in backbone.model.named_parameters() if p.requires_grad}
    former = {name: p.detach().clone() for name, p in own.items()}
    optimizer = torch.optim.AdamW(own.values(), lr=1e-2)
    tokens = pad(backbone.tokenizer, _rows(), labels=_rows())
    vectors_BD = backbone.represent(tokens, backbone.depth // 2, Pooling.mean)
    contrast = torch.cdist(vectors_BD, vectors_BD.detach().roll(1, 0)).mean()
    hidden_SD = backbone.hidden_states(tokens, backbone.depth)[tokens.predicts]
    answer = Pass(backbone, None, 0, 0).cross_entropy(hidden_SD, tokens.labels_after(tokens.predicts))
    if not (answer.isfinite() and contrast.isfinite()):
        raise Problem("losses are not finite")
    contrast.backward()
    answer.backward()
    for parameter in own.values():
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()
    optimizer.step()
    broken = [name for name, p in own.items() if not p.isfinite().all()]
    if broken:
        raise Problem(f"weights are not finite after a step: {broken[0]}")
    if not any((p != former[name]).any() for name, p in own.items()):
        raise Problem("a step changes no weight")
    return [name for name, p in own.items() if p.grad is None]


def _require_equal(found: Tensor, wanted: Tensor, what: str, limit: float = TOLERANCE) -> None:
    if found.shape != wanted.shape:
        raise Problem(f"{what}: shape {tuple(found.shape)} where {tuple(wanted.shape)} is the model's own")
    difference = _difference(found, wanted)
    if not difference <= limit:
        raise Problem(f"{what}: differs by {difference:.1g}")


def _difference(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))
