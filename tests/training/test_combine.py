"""How objectives' gradients are made one: on the gradients that a whole step leaves, against those of each
alone."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from training_helpers import batches_of, small_config, small_module

from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.choices import Combine
from xalign.config.schema import Config
from xalign.training.combine import combine

Named = dict[str, Tensor]

ADAPTED = ("adapter.r=4", "loss.queue=0")


def stepped(*overrides: str) -> tuple[Named, dict[str, float]]:
    """What a training step leaves in `.grad`, and its metrics; every call begins with the same model and
    batch."""
    config = small_config(*ADAPTED, *overrides)
    torch.manual_seed(0)
    module = small_module(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    module.optimizers = lambda: optimizer  # type: ignore[assignment,method-assign,return-value]
    module.lr_schedulers = lambda: scheduler  # type: ignore[assignment,method-assign]
    module.training_step(batches_of(config, module)[0], 0)
    found = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    return found, module.last_metrics


def alone(preset: str, kind: str) -> Named:
    """The gradient of one objective, neither weighted nor clipped."""
    others = {"contrastive", "instruction", "retention"} - {kind}
    without = [f"loss.{other}_weight=0" for other in sorted(others)]
    return stepped(f"loss={preset}", *without, f"loss.{kind}_weight=1", "trainer.clip_norm=1e9")[0]


def norm(gradient: Named) -> float:
    return math.sqrt(sum(float(g.double().square().sum()) for g in gradient.values()))


def weighted(parts: dict[str, Named], weights: dict[str, float]) -> Named:
    total: Named = {}
    for kind, gradient in parts.items():
        for name, value in gradient.items():
            total[name] = total.get(name, torch.zeros_like(value)) + weights[kind] * value
    return total


def assert_same(found: Named, wanted: Named) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-7, msg=name)


CLIP = 0.05


def test_the_published_step_is_the_weighted_sum_clipped_once() -> None:
    parts = {kind: alone("afp_paper", kind) for kind in ("contrastive", "instruction")}
    total = weighted(parts, {"contrastive": 1.0, "instruction": 1.5})
    assert norm(total) > CLIP
    assert all(norm(part) > CLIP for part in parts.values()), "clipping each would differ"
    found, metrics = stepped("loss=afp_paper", f"trainer.clip_norm={CLIP}")
    assert_same(found, {name: g * CLIP / norm(total) for name, g in total.items()})
    assert metrics["gradient_norm"] == pytest.approx(norm(total), rel=1e-4)


@pytest.mark.parametrize("weights", [(1.0, 0.3, 0.9), (0.2, 2.0, 5.0)])
def test_clip_each_clips_before_it_weights(weights: tuple[float, float, float]) -> None:
    kinds = ("contrastive", "instruction", "retention")
    parts = {kind: alone("afp", kind) for kind in kinds}
    clip = sorted(norm(part) for part in parts.values())[1]  # one is clipped, one is at the limit, one is not
    acting = {k: w * min(1.0, clip / norm(parts[k])) for k, w in zip(kinds, weights, strict=True)}
    given = [f"loss.{kind}_weight={weight}" for kind, weight in zip(kinds, weights, strict=True)]
    found, metrics = stepped("loss=afp", *given, f"trainer.clip_norm={clip}")
    assert_same(found, weighted(parts, acting))
    for kind in kinds:
        assert metrics[f"weight/{kind}"] == pytest.approx(acting[kind], rel=1e-4)
        assert metrics[f"gradient_norm/{kind}"] == pytest.approx(norm(parts[kind]), rel=1e-4)


def test_the_weights_that_act_are_logged_for_the_weighted_sum_too() -> None:
    _, metrics = stepped("loss=afp_paper", f"trainer.clip_norm={CLIP}")
    factor = CLIP / metrics["gradient_norm"]
    assert metrics["weight/contrastive"] == pytest.approx(factor, rel=1e-5)
    assert metrics["weight/instruction"] == pytest.approx(1.5 * factor, rel=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [
        ("loss=afp_paper",),
        ("loss=afp_paper", "trainer=paper"),
        ("experiment=afp_xglm_en_zh",),
        ("experiment=afp_xglm_5lang", "data.path=corpus"),
    ],
)
def test_the_papers_presets_are_the_published_objective(overrides: tuple[str, ...]) -> None:
    loss = resolve(compose_config("config", overrides), Config).loss
    assert loss.combine == "weighted_sum"
    assert {name: own.weight for name, own in loss.objectives.items()} == {
        "contrastive": 1.0,
        "instruction": 1.5,
    }


def test_conflicting_gradients_lose_what_conflicts() -> None:
    """Two gradients by hand: g1 = (1, 0), g2 = (-1, 1). Yu et al. 2020, algorithm 1."""
    parts = {"a": [torch.tensor([1.0, 0.0]), None], "b": [torch.tensor([-1.0, 1.0]), torch.tensor([2.0])]}
    found = combine(Combine.pcgrad, parts, {"a": 1.0, "b": 1.0}, clip_norm=1e9, seed=0, statistics=False)
    # a - (a.b / |b|^2) b = (1, 0) + 1/6 (-1, 1, 2); b - (a.b / |a|^2) a = (-1, 1, 2) + (1, 0).
    assert [g is not None and g.tolist() for g in found.gradient] == [
        pytest.approx([5 / 6 + 0, 1 / 6 + 1]),
        pytest.approx([2 / 6 + 2]),
    ]
    assert found.figures["gradient_cosine/a-b"] == pytest.approx(-1 / math.sqrt(6))


def test_gradients_that_agree_are_only_summed_by_pcgrad() -> None:
    for seed in range(3):
        parts = {name: [torch.rand(5), torch.rand(2, 3)] for name in "abc"}
        weights = {"a": 1.0, "b": 0.5, "c": 2.0}
        copies = {name: [g.clone() for g in part] for name, part in parts.items()}
        found = combine(Combine.pcgrad, copies, weights, clip_norm=1e9, seed=seed, statistics=False)
        for index, gradient in enumerate(found.gradient):
            assert gradient is not None
            torch.testing.assert_close(gradient, sum(weights[n] * parts[n][index] for n in parts))


def test_pcgrad_takes_sparse_gradients() -> None:
    dense = {
        "a": torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, -1.0]]),
        "b": torch.tensor([[-1.0, 1.0], [0.0, 3.0], [0.0, 0.0]]),
    }
    weights = {"a": 1.0, "b": 1.0}
    wanted = combine(
        Combine.pcgrad,
        {n: [g.clone()] for n, g in dense.items()},
        weights,
        clip_norm=1.0,
        seed=0,
        statistics=True,
    )
    for kinds in itertools.product((True, False), repeat=2):
        parts = {
            name: [g.to_sparse(1) if sparse else g.clone()]
            for (name, g), sparse in zip(dense.items(), kinds, strict=True)
        }
        found = combine(Combine.pcgrad, parts, weights, clip_norm=1.0, seed=0, statistics=True)
        assert found.gradient[0] is not None
        assert wanted.gradient[0] is not None
        torch.testing.assert_close(found.gradient[0].to_dense(), wanted.gradient[0])
        assert found.figures == pytest.approx(wanted.figures)


def test_the_cosine_of_every_pair_is_logged() -> None:
    _, metrics = stepped("loss=afp")
    parts = {kind: alone("afp", kind) for kind in ("contrastive", "instruction", "retention")}
    for a, b in itertools.combinations(parts, 2):
        dot = sum(float((parts[a][n] * parts[b][n]).sum()) for n in parts[a].keys() & parts[b].keys())
        wanted = dot / norm(parts[a]) / norm(parts[b])
        assert metrics[f"gradient_cosine/{a}-{b}"] == pytest.approx(wanted, abs=1e-4)
