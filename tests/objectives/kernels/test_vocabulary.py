"""Losses over the vocabulary equal the plain ones: in value, in every gradient, whatever the blocks."""

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from xalign.objectives.kernels import full_logits, vocabulary
from xalign.objectives.kernels.linear_cross_entropy import add_cross_entropy_gradients, linear_cross_entropy
from xalign.objectives.kernels.linear_kl import linear_kl

POSITIONS, VOCABULARY, WIDTH = 7, 33, 5
LOSSES = ["cross-entropy", "kl"]


class Case:
    """Random hidden states, head and targets; words at both ends of the vocabulary, one of them twice."""

    def __init__(self, dtype: torch.dtype, softcap: float | None = None) -> None:
        torch.manual_seed(0)
        self.softcap = softcap
        self.hidden = torch.randn(POSITIONS, WIDTH, dtype=dtype, requires_grad=True)
        self.weight = torch.randn(VOCABULARY, WIDTH, dtype=dtype, requires_grad=True)
        self.bias = torch.randn(VOCABULARY, dtype=dtype, requires_grad=True)
        self.before = self.hidden.detach() + 0.3 * torch.randn(POSITIONS, WIDTH, dtype=dtype)
        self.targets = torch.tensor([0, VOCABULARY - 1, 5, 5, 0, 1, VOCABULARY - 2])

    @property
    def inputs(self) -> list[Tensor]:
        return [self.hidden, self.weight, self.bias]

    def loss(self, name: str) -> Tensor:
        if name == "kl":
            return linear_kl(self.before, self.hidden, self.weight, bias_V=self.bias, softcap=self.softcap)
        return linear_cross_entropy(
            self.hidden, self.weight, self.targets, bias_V=self.bias, softcap=self.softcap
        )

    def plain(self, name: str) -> Tensor:
        if name == "kl":
            return full_logits.kl(self.logits(self.before).detach(), self.logits(self.hidden))
        return full_logits.cross_entropy(self.logits(self.hidden), self.targets)

    def logits(self, hidden: Tensor) -> Tensor:
        logits = hidden @ self.weight.T + self.bias
        return self.softcap * torch.tanh(logits / self.softcap) if self.softcap else logits


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Blocks of three words, two positions at a time."""
    blocks(monkeypatch, words=3, rows=2)
    return monkeypatch


def blocks(monkeypatch: pytest.MonkeyPatch, words: int, rows: int) -> None:
    monkeypatch.setattr(vocabulary, "FEWEST_WORDS", words)
    monkeypatch.setitem(vocabulary.BLOCK, "cpu", 1)
    monkeypatch.setitem(vocabulary.ROWS, "cpu", rows)
    monkeypatch.setitem(vocabulary.LOGITS_AT_ONCE, "cpu", rows * VOCABULARY)


@pytest.fixture
def plain_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain losses go to float32, in which nothing can be said to 1e-9."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize(("words", "rows"), product([1, 3, VOCABULARY], [1, 3, 2 * POSITIONS]))
def test_equals_the_plain_loss_and_every_gradient(
    name: str,
    softcap: float | None,
    words: int,
    rows: int,
    monkeypatch: pytest.MonkeyPatch,
    plain_in_float64: None,
) -> None:
    blocks(monkeypatch, words, rows)
    case = Case(torch.float64, softcap)
    own, plain = case.loss(name), case.plain(name)
    assert own.dtype == torch.float64
    torch.testing.assert_close(own, plain, rtol=1e-9, atol=1e-9)
    pairs = zip(
        torch.autograd.grad(own * 0.7, case.inputs),
        torch.autograd.grad(plain * 0.7, case.inputs),
        strict=True,
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_equals_the_plain_loss_in_float32(
    name: str, softcap: float | None, small: pytest.MonkeyPatch
) -> None:
    case = Case(torch.float32, softcap)
    own, plain = case.loss(name), case.plain(name)
    assert own.dtype == torch.float32
    torch.testing.assert_close(own, plain, rtol=1e-5, atol=0)
    pairs = zip(torch.autograd.grad(own, case.inputs), torch.autograd.grad(plain, case.inputs), strict=True)
    for ours, theirs in pairs:
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-5


@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck_of_a_frozen_head(name: str, small: pytest.MonkeyPatch) -> None:
    case = Case(torch.float64, 2.0)
    case.weight.requires_grad_(False)
    case.bias.requires_grad_(name == "cross-entropy")  # of the KL, one side knows nothing of its gradient

    def loss(hidden: Tensor, bias: Tensor) -> Tensor:
        case.hidden, case.bias = hidden, bias
        return case.loss(name)

    assert torch.autograd.gradcheck(loss, (case.hidden, case.bias))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("wanted", [[0], [1], [2], [0, 2], [1, 2]])
def test_gradients_only_where_they_are_needed(
    name: str, wanted: list[int], small: pytest.MonkeyPatch, plain_in_float64: None
) -> None:
    case = Case(torch.float64)
    for i, tensor in enumerate(case.inputs):
        tensor.requires_grad_(i in wanted)
    case.loss(name).backward()
    found = [tensor.grad for tensor in case.inputs]
    assert [grad is not None for grad in found] == [i in wanted for i in range(3)]
    expected = torch.autograd.grad(case.plain(name), [case.inputs[i] for i in wanted])
    for i, gradient in zip(wanted, expected, strict=True):
        torch.testing.assert_close(found[i], gradient, rtol=1e-9, atol=1e-9)


class Largest(TorchDispatchMode):
    """The most elements that any operation's result has, and the multiplications of matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0
        self.multiplications = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):  # type: ignore[no-untyped-def]
        result = function(*arguments, **(options or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
            if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm_):
                self.multiplications += result.numel() * arguments[-2].shape[1]
        return result


@pytest.mark.parametrize(
    ("name", "trained", "products"),
    [
        ("cross-entropy", [], 1),
        ("cross-entropy", [0], 2),
        ("cross-entropy", [0, 1], 3),
        ("kl", [], 2),
        ("kl", [0], 3),
        ("kl", [0, 1], 4),
    ],
)
def test_work_and_memory(name: str, trained: list[int], products: int, small: pytest.MonkeyPatch) -> None:
    case = Case(torch.float32)
    inputs = case.inputs
    for i, tensor in enumerate(inputs):
        tensor.requires_grad_(i in trained)
    with Largest() as seen:
        case.loss(name)
    assert seen.multiplications == products * POSITIONS * VOCABULARY * WIDTH
    # The store of two rows a side and what is as large as the head; the logits of all positions are larger.
    assert seen.elements <= max(4 * VOCABULARY, VOCABULARY * WIDTH) < POSITIONS * VOCABULARY


@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_is_made_without_grad_mode(name: str, small: pytest.MonkeyPatch) -> None:
    case = Case(torch.float32)
    expected = case.loss(name)
    with torch.no_grad(), Largest() as seen:
        loss = case.loss(name)
    torch.testing.assert_close(loss, expected.detach())
    assert seen.elements < 2 * VOCABULARY
    assert not loss.requires_grad


@pytest.mark.parametrize("name", LOSSES)
def test_no_positions(name: str) -> None:
    case = Case(torch.float32)
    case.hidden = case.hidden.detach()[:0].requires_grad_()
    case.before, case.targets = case.before[:0], case.targets[:0]
    loss = case.loss(name)
    loss.backward()
    assert float(loss.detach()) == 0
    for tensor in case.inputs:
        assert tensor.grad is not None
        assert not tensor.grad.any()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weight_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [2, 2 * POSITIONS])
def test_bfloat16_is_float32_within_rounding(
    name: str, weight_dtype: torch.dtype, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks(monkeypatch, words=3, rows=rows)
    low, high = Case(torch.float32), Case(torch.float32)
    low.hidden = low.hidden.detach().bfloat16().requires_grad_()
    low.weight = low.weight.detach().to(weight_dtype).requires_grad_()
    for tensor in (high.hidden, high.weight):  # the same numbers: only the arithmetic differs
        tensor.data = tensor.data.bfloat16().float()
    low.before = low.before.bfloat16()
    high.before = low.before.float()
    ours, theirs = low.loss(name), high.loss(name)
    assert ours.dtype == torch.float32
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=0.01)
    ours.backward()
    theirs.backward()
    for mine, exact in zip(low.inputs, high.inputs, strict=True):
        assert mine.grad is not None
        assert exact.grad is not None
        assert mine.grad.dtype == mine.dtype
        # The KL's gradient has the difference of two logits in it, each rounded.
        error = float((mine.grad.float() - exact.grad).norm() / exact.grad.norm())
        assert error < (0.04 if name == "kl" else 0.015)


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_changes_nothing(name: str, small: pytest.MonkeyPatch) -> None:
    found = []
    for enabled in (False, True):
        case = Case(torch.float32)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = case.loss(name)
            loss.backward()
        found.append([loss.detach(), *(tensor.grad for tensor in case.inputs)])
    for plain, autocast in zip(*found, strict=True):
        assert torch.equal(plain, autocast)


@pytest.mark.parametrize("name", LOSSES)
def test_a_second_backward_pass_raises_rather_than_scale_twice(name: str) -> None:
    case = Case(torch.float32)
    loss = case.loss(name)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()


def test_a_trained_heads_gradient_is_not_copied() -> None:
    case = Case(torch.float32)
    loss = linear_cross_entropy(case.hidden, case.weight, case.targets)
    assert loss.grad_fn is not None
    address = loss.grad_fn.saved_tensors[1].data_ptr()  # type: ignore[attr-defined]
    loss.backward()
    assert case.weight.grad is not None
    assert case.weight.grad.data_ptr() == address


def test_a_target_outside_the_vocabulary_makes_the_loss_nan() -> None:
    case = Case(torch.float32)
    case.targets[0] = -100
    with torch.no_grad():
        assert torch.isnan(case.loss("cross-entropy"))


def test_an_all_but_certain_target_keeps_its_gradient_in_bfloat16(small: pytest.MonkeyPatch) -> None:
    """1 - p is not p rounded and taken from one: at p = 1 - e^-10 that would be all noise."""
    weight = torch.eye(4)
    hidden = torch.tensor([[10.0, 0.0, 0.0, 0.0]])
    gradients = []
    for dtype in (torch.bfloat16, torch.float64):
        own = hidden.to(dtype).requires_grad_()
        linear_cross_entropy(own, weight.to(dtype), torch.tensor([0])).backward()
        assert own.grad is not None
        gradients.append(own.grad.double())
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0.01, atol=0)


def test_kl_of_the_same_states_has_no_gradient_at_all(small: pytest.MonkeyPatch) -> None:
    case = Case(torch.float32)
    case.before = case.hidden.detach()
    loss = case.loss("kl")
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(tensor.grad is not None and not tensor.grad.any() for tensor in case.inputs)


def test_kl_of_a_large_vocabulary_is_right_in_float32() -> None:
    """Where plain float32 sums over all words and positions at once are off by several per cent."""
    torch.manual_seed(0)
    now, weight = torch.randn(4, 16), torch.randn(100_000, 16) * 0.5
    before = now + 0.05 * torch.randn(4, 16)
    expected = linear_kl(before.double(), now.double(), weight.double())
    assert float(linear_kl(before, now, weight)) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("before", [None, "sparse", "dense"])
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_gradients_of_micro_batches_add_to_those_there_are(
    before: str | None, softcap: float | None, small: pytest.MonkeyPatch, plain_in_float64: None
) -> None:
    """Also to those of a tied table that embeddings have left; one part of the batch has no position."""
    case, scale = Case(torch.float64, softcap), 0.3
    expected = [g * scale for g in torch.autograd.grad(case.plain("cross-entropy"), case.inputs)]
    if before is not None:
        earlier = torch.zeros_like(case.weight)
        earlier[[1, 5]] = torch.randn(2, WIDTH, dtype=torch.float64)
        expected[1] += earlier
        case.weight.grad = earlier.to_sparse(1) if before == "sparse" else earlier
    losses, parts = [], []
    for rows in (slice(0, 3), slice(3, 3), slice(3, POSITIONS)):
        loss, part = add_cross_entropy_gradients(
            case.hidden[rows],
            case.weight,
            case.targets[rows],
            scale=scale,
            bias_V=case.bias,
            softcap=softcap,
        )
        losses.append(loss)
        parts.append(part)
    assert case.weight.grad is not None
    assert case.bias.grad is not None
    torch.testing.assert_close(torch.stack(losses).sum(), case.plain("cross-entropy").detach())
    found = [torch.cat(parts), case.weight.grad, case.bias.grad]
    for gradient, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-9)
