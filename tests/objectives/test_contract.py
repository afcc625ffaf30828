"""What the framework promises of every objective in the registry, whatever it computes.

A new objective is covered without being named here, but for two things: its plain formula in `PLAIN`, and, if
it promises one, its value at the start in `AT_START`.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from float64 import InFloat64
from plain_formulas import PLAIN
from tiny import tiny_backbone
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from training_helpers import (
    batches_of,
    fitted,
    moved,
    power_cut,
    required,
    small_config,
    small_module,
    timeless,
    with_random_adapters,
)

from xalign.config.schema import Config
from xalign.data.collate import Arrangement, Tokens
from xalign.data.step import Part
from xalign.objectives import OBJECTIVES
from xalign.objectives.base import BatchObjective
from xalign.performance.flops import costs_of, operations
from xalign.training.accumulate import accumulate
from xalign.training.module import AlignedModel

KINDS = OBJECTIVES.names()
WITH_OPTIONS: list[Any] = [
    *(pytest.param(kind, (), id=kind) for kind in KINDS),
    pytest.param("contrastive", ("loss.projection=8",), id="contrastive, projected"),
    pytest.param(
        "hard_negatives",
        (
            "loss.objectives.hard_negatives.positive_share=0.02",
            "loss.objectives.hard_negatives.false_margin=0.01",
            "loss.objectives.hard_negatives.decoupled=true",
        ),
        id="hard_negatives, debiased and decoupled",
    ),
    pytest.param(
        "token_alignment",
        ("loss.objectives.token_alignment.matching=transport",),
        id="token_alignment, transported",
    ),
    pytest.param("retention", ("loss.retention_budget=0.01",), id="retention, within a budget"),
]
ALONE = ("loss=instruction", "loss.instruction_weight=0")
FAMILIES = ("llama", "xglm")
"""XGLM drops out by default, and has learned positions."""


def config_of(kind: str, *overrides: str, name: str | None = None) -> Config:
    """A configuration with that objective alone."""
    name = name or kind
    options = [f"loss.objectives.{name}.kind={kind}", f"loss.objectives.{name}.weight=1"]
    return small_config(*ALONE, *options, *required(kind, name), "loss.tau=0.5", *overrides)


def module_of(config: Config, family: str) -> AlignedModel:
    """In training, and no more what it was before."""
    return moved(with_random_adapters(small_module(config, family)))


def outcome(module: AlignedModel, part: Part, kind: str) -> tuple[float, dict[str, Tensor]]:
    """The loss, and the gradients that it leaves."""
    module.zero_grad()
    value, _ = accumulate(module.objectives[kind], module.run(0), part)
    found = {n: p.grad.to_dense().clone() for n, p in module.named_parameters() if p.grad is not None}
    return value, {n: g for n, g in found.items() if g.any()}


def assert_same(
    found: tuple[float, dict[str, Tensor]], wanted: tuple[float, dict[str, Tensor]], tolerance: float
) -> None:
    assert found[0] == pytest.approx(wanted[0], rel=tolerance, abs=tolerance / 100)
    assert found[1].keys() == wanted[1].keys()
    errors = [(found[1][name] - gradient).norm() for name, gradient in wanted[1].items()]
    assert float(torch.stack(errors).norm()) <= tolerance * float(
        torch.stack([g.norm() for g in wanted[1].values()]).norm()
    )


def part_of(module: AlignedModel, kind: str, family: str, micro_batch: int | None = None) -> Part:
    arrangement = Arrangement(family != "bloom", micro_batch, widest=128)
    return batches_of(module.config, module, arrangement=arrangement)[0].parts[kind]


@pytest.mark.parametrize(("family", "adapter"), [("llama", "lora"), ("xglm", "full")])
@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_make_no_difference(kind: str, family: str, adapter: str) -> None:
    config = config_of(kind, f"adapter={adapter}")
    whole, parts = (module_of(config, family) for _ in range(2))
    torch.manual_seed(1)
    wanted = outcome(whole, part_of(whole, kind, family), kind)
    torch.manual_seed(2)
    small = part_of(parts, kind, family, micro_batch=90)
    assert len(small.texts.buckets) > 1
    assert_same(outcome(parts, small, kind), wanted, 5e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_is_a_function_of_seed_step_and_rank(kind: str) -> None:
    """And the ranks' parts together are one rank's: every text is with one of them."""
    config = config_of(kind)
    module = small_module(config)

    def texts(part: Part) -> list[tuple[int, ...]]:
        return [tuple(ids) for bucket in part.texts.buckets for ids in rows_of(bucket)]

    first, again, other = (batches_of(config, module)[step].parts[kind] for step in (0, 0, 1))
    assert texts(first) == texts(again)
    assert texts(first) != texts(other)
    two = [batches_of(config, module, rank, 2)[0].parts[kind] for rank in range(2)]
    assert texts(two[0]) != texts(two[1])
    # A rank's own share is as large whatever the number of ranks.
    assert len(texts(two[0])) == len(texts(two[1])) == len(texts(first))


def rows_of(tokens: Tokens) -> list[list[int]]:
    return [
        ids[mask.bool()].tolist() for ids, mask in zip(tokens.input_ids, tokens.attention_mask, strict=True)
    ]


@pytest.mark.parametrize(("kind", "options"), WITH_OPTIONS)
def test_a_resumed_run_ends_with_the_same_bits(kind: str, options: tuple[str, ...], tmp_path: Path) -> None:
    config = config_of(kind, "trainer.checkpoint_every=2", *options)
    whole = fitted(config, tmp_path / "whole")
    with power_cut(3):
        fitted(config, tmp_path / "cut")
    resumed = fitted(config, tmp_path / "cut")
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert any(torch.any(value != 0) for value in whole.values())


def begun(module: AlignedModel, kind: str, far: slice) -> None:
    """Let it begin with drawn vectors, of which the languages are far from the pivot at some layers."""
    objective = module.objectives[kind]
    if not objective.needs.begins_with:
        return
    setup, generator = objective.setup, torch.Generator().manual_seed(0)
    vectors = {
        code: torch.randn(2, 40, setup.depth + 1, setup.width, generator=generator)
        for code in setup.languages[1:]
    }
    for number, both in enumerate(vectors.values(), start=1):
        both[1, :, far] += 3 * number
    objective.begin(vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_holds_what_it_began_with(kind: str) -> None:
    """Begun with other vectors, as rounded on another machine, it goes on as it was."""
    config = config_of(kind)
    module, resumed = (module_of(config, "llama") for _ in range(2))
    begun(module, kind, slice(0, 2))
    part = part_of(module, kind, "llama")
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    wanted = outcome(module, part, kind)
    begun(resumed, kind, slice(3, None))
    if module.objectives[kind].needs.begins_with:
        assert outcome(resumed, part, kind)[0] != pytest.approx(wanted[0], rel=1e-3)
    resumed.on_load_checkpoint(checkpoint)
    resumed.load_state_dict(checkpoint["state_dict"], strict=False)
    assert_same(outcome(resumed, part, kind), wanted, 1e-6)


LOOKED_AT = ("contrastive", "instruction", "lens")
"""A batch, a sum, and one with buffers of its own."""
ONE_OF_EACH = [
    pytest.param(
        kind, marks=() if kind in LOOKED_AT or kind not in OBJECTIVES.own_names() else pytest.mark.slow
    )
    for kind in KINDS
]
"""For what the framework does whatever an objective computes."""


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_weight_of_0_is_as_if_it_were_not_there(kind: str, tmp_path: Path) -> None:
    other = next(other for other in KINDS if other != kind)
    without = config_of(other, "trainer.steps=3")
    beside = config_of(
        other,
        f"loss.objectives.also.kind={kind}",
        "loss.objectives.also.weight=0",
        "trainer.steps=3",
        *required(kind, "also"),
    )
    found = [fitted(config, tmp_path / str(i)) for i, config in enumerate((without, beside))]
    assert timeless(tmp_path / "0") == timeless(tmp_path / "1")
    assert all(torch.equal(found[1][name], value) for name, value in found[0].items())


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_turn_that_is_not_its_own_is_as_if_it_were_not_there(kind: str, tmp_path: Path) -> None:
    """Alternating: at the other's steps, losses and parameters are those of the other alone."""
    config = config_of(
        kind, *(f"loss.objectives.{kind}.schedule.{o}" for o in ("kind=alternate", "turn=1")),
        "loss.objectives.other.kind=instruction", "loss.objectives.other.weight=1", "trainer.steps=2",
        "loss.objectives.other.schedule.kind=alternate",
    )  # fmt: skip
    alone = config_of("instruction", "trainer.steps=2", name="other")
    fitted(config, tmp_path / "both")
    fitted(alone, tmp_path / "alone")
    both, other = timeless(tmp_path / "both"), timeless(tmp_path / "alone")
    assert both[0] == other[0]
    assert f"loss/{kind}" in both[1]
    assert "loss/other" not in both[1]


AT_START: dict[str, float] = {"dpo": math.log(2), "retention": 0.0, "state_retention": 0.0}
"""What an objective promises of an untrained model."""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", AT_START)
def test_the_value_at_the_start_is_the_promised_one(kind: str, family: str) -> None:
    module = small_module(config_of(kind), family)
    value, _ = outcome(module, part_of(module, kind, family), kind)
    assert value == pytest.approx(AT_START[kind], abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kind", "options"), WITH_OPTIONS)
def test_it_equals_its_plain_formula_in_float64(
    kind: str, options: tuple[str, ...], family: str, request: pytest.FixtureRequest
) -> None:
    """Each text by itself, through the whole model, with logits everywhere: loss and every gradient."""
    config = config_of(kind, *options)
    module, plain = (module_of(config, family).double() for _ in range(2))
    untouched = tiny_backbone(family).double()
    # XGLM makes a constant in the default type, which float64's lowest number does not fit.
    request.addfinalizer(lambda: torch.set_default_dtype(torch.float32))
    torch.set_default_dtype(torch.float64)
    with InFloat64():
        found = outcome(module, part_of(module, kind, family, micro_batch=90), kind)
        part = part_of(plain, kind, family)
        plain.zero_grad()
        loss = PLAIN[kind](plain, part, untouched)
        loss.backward()
    gradients = {n: p.grad.to_dense() for n, p in plain.named_parameters() if p.grad is not None}
    assert_same(found, (float(loss.detach()), {n: g for n, g in gradients.items() if g.any()}), 1e-9)


# torch counts a product that is added to something, not one added in place or written into something.
IN_PLACE: dict[Any, Callable[..., int]] = {
    torch.ops.aten.addmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * b[1],
    torch.ops.aten.mm.out: lambda a, b, **__: 2 * a[0] * a[1] * b[1],
}


@pytest.mark.parametrize("adapter", ["lora", "full"])
@pytest.mark.parametrize(("kind", "options"), WITH_OPTIONS)
def test_operations_are_as_many_as_torch_counts(kind: str, options: tuple[str, ...], adapter: str) -> None:
    """Forward and backward: what a plan and `mfu` are made of."""
    config = config_of(kind, f"adapter={adapter}", "loss.queue=0", *options)
    module = small_module(config, "llama", attn_implementation="eager")
    objective = module.objectives[kind]
    # One text a row: no padding, which would run without being needed.
    part = batches_of(config, module, arrangement=Arrangement(micro_batch=1))[0].parts[kind]
    wanted = operations(costs_of(module.backbone), objective.work(part), part)
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        accumulate(objective, module.run(0), part)
    repeated = 0
    if isinstance(objective, BatchObjective):
        # Of several passes all but the last run forward twice.
        # The loss itself is computed once.
        passes = wanted.forward - objective.work(part).forward
        repeated = round(passes * (1 - 1 / len(part.texts.buckets)))
    assert counter.get_total_flops() == pytest.approx(wanted.total + repeated, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_needs_cover_what_it_runs(kind: str) -> None:
    config = config_of(kind)
    module = small_module(config, "llama")
    objective = module.objectives[kind]
    needs = objective.needs
    for step in range(4):
        part = batches_of(config, module)[step].parts[kind]
        work = objective.work(part)
        assert part.texts.count <= needs.tokens
        assert work.layer <= needs.layer
        assert needs.head or not work.positions
        assert needs.reference or work.reference_layer is None


def test_every_objective_has_its_plain_formula() -> None:
    assert sorted(PLAIN) == KINDS
