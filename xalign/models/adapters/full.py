"""Every parameter of the model is trained."""

from xalign.config.parts import AdapterConfig
from xalign.models.adapters.base import Adapter


class Full(Adapter):
    """Trains the whole model."""

    def attach(self, config: AdapterConfig, seed: int) -> None:
        from xalign.models.sparse_embeddings import use_sparse_embedding_gradients

        model = self.backbone.model
        model.requires_grad_(True)
        use_sparse_embedding_gradients(model)


ADAPTER = Full
