"""Only the rows of new pieces are trained: what `python -m xalign.vocabulary` has added."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xalign.config.choices import StrategyName
from xalign.config.parts import AdapterConfig
from xalign.models.adapters.base import Adapter

if TYPE_CHECKING:
    from xalign.config.schema import Config
    from xalign.models.reference import Reference


def problems_of_rows(config: "Config") -> Iterator[str]:
    """Why the rows of new pieces could not be trained alone."""
    if config.optimizer.weight_decay > 0:
        yield "not with optimizer.weight_decay > 0, which would shrink the rows of the other pieces"
    if config.strategy.name is StrategyName.fsdp:
        yield "not with strategy=fsdp, where a rank does not have whole rows"
    if config.model.quantization is not None:
        yield f"not with model.quantization={config.model.quantization}"


class NewRows(Adapter):
    """Trains the rows of new pieces in the embeddings and the head, and nothing else: texts without new
    pieces have the states that they had."""

    class Config(AdapterConfig):
        def problems(self, config: "Config") -> Iterator[tuple[str, str]]:
            for what in problems_of_rows(config):
                yield "method", what

    def attach(self, config: AdapterConfig, seed: int) -> None:
        from xalign.models.new_rows import train_new_rows

        self.backbone.model.requires_grad_(False)
        train_new_rows(self.backbone.model, "adapter.method=new_rows")

    def reference(self) -> "Reference":
        from xalign.models.reference import AsBegun, trained_values

        return AsBegun(self.backbone, trained_values(self.backbone))


ADAPTER = NewRows
