"""The model before training: what retention and distillation hold the trained one to.

It always runs in evaluation mode and without gradient, whatever mode the trained model is in.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch import Tensor, nn

from xalign.models.backbone import Backbone, evaluating


class Reference:
    """How the model before training is run."""

    @contextmanager
    def running(self) -> Iterator[Backbone]:
        """Inside, a backbone that computes what the model did before training."""
        raise NotImplementedError
        yield

    def own_head(self) -> tuple[Tensor, Tensor | None] | None:
        """Weight (V, D) and bias (V,) of its head, in the arithmetic of the matrix products; None: the
        trained model's head, which is not trained."""
        return None

    def copies(self) -> list[nn.Parameter]:
        """Parameters that it holds besides the trained model's."""
        return []


class WithoutAdapters(Reference):
    """The trained model itself, its adapters switched off: no memory."""

    def __init__(self, backbone: Backbone, peft: PeftModel) -> None:
        self.backbone, self.peft = backbone, peft

    @contextmanager
    def running(self) -> Iterator[Backbone]:
        with evaluating(self.backbone), self.peft.disable_adapter():
            yield self.backbone


def trained_values(backbone: Backbone) -> dict[nn.Parameter, Tensor]:
    """Copies of all that is trained, as it is now."""
    return {p: p.detach().clone() for p in backbone.parameters() if p.requires_grad}


class AsBegun(Reference):
    """The trained model itself, its adapters as they were at first: where these changed it from the
    beginning."""

    def __init__(self, backbone: Backbone, began: Mapping[nn.Parameter, Tensor]) -> None:
        self.backbone, self.began = backbone, began

    @contextmanager
    def running(self) -> Iterator[Backbone]:
        with evaluating(self.backbone), exchanged(self.began):
            yield self.backbone

    def own_head(self) -> tuple[Tensor, Tensor | None] | None:
        head = self.backbone.model.get_output_embeddings()
        began = self.began.get(head.weight)
        if began is None:
            return None
        assert self.backbone.plain_head() is not None, "a trained head that is more than a matrix"
        return began.to(self.backbone.compute_dtype), head.bias

    def copies(self) -> list[nn.Parameter]:
        return [nn.Parameter(value, requires_grad=False) for value in self.began.values()]


@contextmanager
def exchanged(values: Mapping[nn.Parameter, Tensor]) -> Iterator[None]:
    """Inside, the parameters hold these values; their own again afterwards."""
    own = {parameter: parameter.data for parameter in values}
    for parameter, value in values.items():
        parameter.data = value
    try:
        yield
    finally:
        for parameter, value in own.items():
            parameter.data = value


class FrozenCopy(Reference):
    """A copy of all that is trained; what is frozen is shared.

    In low arithmetic the copied matrices are kept as the products round them: half the memory, the same
    values.
    """

    def __init__(self, backbone: Backbone) -> None:
        shared = {id(p): p for p in backbone.model.parameters() if not p.requires_grad}
        model = copy.deepcopy(backbone.model, shared)
        self.backbone = Backbone(model, backbone.tokenizer).eval()
        self.backbone.compute_dtype = backbone.compute_dtype
        self._copies = [p for p in model.parameters() if id(p) not in shared]
        model.requires_grad_(False)
        if self.backbone.computes_low:
            tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
            for module in model.modules():
                if isinstance(module, nn.Linear) and id(module.weight) not in tables:
                    module.weight.data = module.weight.data.to(backbone.compute_dtype)
        self._head_is_shared = all(
            not p.requires_grad for p in backbone.model.get_output_embeddings().parameters()
        )

    @contextmanager
    def running(self) -> Iterator[Backbone]:
        with torch.no_grad():
            yield self.backbone

    def own_head(self) -> tuple[Tensor, Tensor | None] | None:
        if self._head_is_shared:
            return None
        with torch.no_grad():
            plain = self.backbone.plain_head()
        assert plain is not None, "a trained head that is more than a matrix"
        return plain

    def copies(self) -> list[nn.Parameter]:
        return self._copies
