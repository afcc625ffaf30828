"""Every parameter is trained but the embeddings and the head."""

from xalign.config.parts import AdapterConfig
from xalign.models.adapters.base import Adapter


class FullFrozenEmbeddings(Adapter):
    """Trains the blocks: with a large vocabulary a fraction of the cost of a step."""

    def attach(self, config: AdapterConfig, seed: int) -> None:
        model = self.backbone.model
        model.requires_grad_(True)
        # The head too, where it is the same matrix.
        model.get_input_embeddings().requires_grad_(False)
        model.get_output_embeddings().requires_grad_(False)


ADAPTER = FullFrozenEmbeddings
