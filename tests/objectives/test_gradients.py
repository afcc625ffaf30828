import pytest
import torch

from xalign.objectives import gradients


def test_norm_cosine_and_sum_by_hand() -> None:
    a = [torch.tensor([3.0, 0.0]), None]
    b = [torch.tensor([0.0, 4.0]), torch.tensor([1.0])]
    assert float(gradients.norm(a)) == 3
    assert float(gradients.cosine(a, b)) == 0
    assert float(gradients.cosine(a, a)) == pytest.approx(1)
    total = gradients.add([a, b])
    assert total[0] is not None
    assert total[0].tolist() == [3, 4]
    assert total[1] is not None
    assert total[1].tolist() == [1]


def test_clipping_scales_down_but_never_up() -> None:
    large, small = [torch.tensor([6.0, 8.0])], [torch.tensor([0.3, 0.4])]
    assert float(gradients.clip_(large, 1.0)) == 10
    assert large[0].tolist() == pytest.approx([0.6, 0.8])
    assert float(gradients.clip_(small, 1.0)) == pytest.approx(0.5)
    assert small[0].tolist() == pytest.approx([0.3, 0.4])


def test_per_objective_clipping_keeps_the_small_gradient_visible() -> None:
    """Sixty times larger, as measured at the start on Gemma 3 270M: clipped apart, neither drowns."""
    contrastive, instruction = [torch.tensor([1.5, 0.0])], [torch.tensor([0.0, 90.0])]
    together = gradients.add([contrastive, instruction])
    gradients.clip_(together, 1.0)
    assert together[0] is not None
    assert float(together[0][0]) < 0.02
    gradients.clip_(contrastive, 1.0)
    gradients.clip_(instruction, 1.0)
    apart = gradients.add([contrastive, instruction])
    assert apart[0] is not None
    assert apart[0].tolist() == pytest.approx([1.0, 1.0])
