"""Data parallelism where the module itself sums gradients over ranks, objective by objective."""

from typing import Any

from pytorch_lightning.strategies import DDPStrategy


class AllReduceStrategy(DDPStrategy):
    """Lightning's DDP processes and rank handling without the DistributedDataParallel wrapper.

    The wrapper averages gradients as one backward pass goes; here each objective has its own pass, its
    own blocks (the contrastive one stops at the aligned layer) and its own clipping, so
    `collectives.sum_gradients` is called for each.
    """

    def configure_ddp(self) -> None:
        pass

    def _register_ddp_hooks(self) -> None:
        pass

    def pre_backward(self, closure_loss: Any) -> None:
        pass
