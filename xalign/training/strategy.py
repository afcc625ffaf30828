"""Data parallelism where the module itself sums gradients over ranks, objective by objective."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, ParallelStrategy, Strategy
from torch import Tensor
from torch.distributed.tensor import DTensor

from xalign.config.choices import StrategyName
from xalign.config.training import StrategyConfig
from xalign.training import shards


def build_strategy(config: StrategyConfig) -> Strategy | str:
    """Lightning's strategy of a config."""
    match config.name:
        case StrategyName.single:
            return "auto"
        case StrategyName.ddp:
            return AllReduceStrategy()
        case StrategyName.fsdp:
            return ShardedStrategy(config)


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


class ShardedStrategy(ModelParallelStrategy):
    """FSDP2 over all ranks (`AlignedModel.configure_model` shards); checkpoints hold what is trained alone.

    Where nothing that is trained is sharded, as with low-rank adapters, a checkpoint is the file that any
    other strategy writes, and reads; otherwise it is a folder (`xalign.training.shards`).
    """

    def __init__(self, config: StrategyConfig) -> None:
        super().__init__()
        self.config = config

    def setup_environment(self) -> None:
        self._data_parallel_size, self._tensor_parallel_size = self.num_nodes * self.num_processes, 1
        super().setup_environment()

    def model_to_device(self) -> None:
        # Each rank has loaded the model onto its own; what is offloaded has to stay where it is.
        if not self.config.cpu_offload:
            super().model_to_device()

    # Lightning's own gathers the states of the whole model, frozen parameters too, under names of its own.

    lightning_module_state_dict = ParallelStrategy.lightning_module_state_dict
    optimizer_state = ParallelStrategy.optimizer_state
    load_model_state_dict = ParallelStrategy.load_model_state_dict
    lightning_restore_optimizer = ParallelStrategy.lightning_restore_optimizer

    def load_optimizer_state_dict(self, checkpoint: Any) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)  # onto the parameters' devices

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        if any(isinstance(value, DTensor) for value in checkpoint["state_dict"].values()):
            shards.save(checkpoint, Path(filepath), first=self.is_global_zero)
        else:
            ParallelStrategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        path = Path(checkpoint_path)
        return shards.load(path, self._room) if path.is_dir() else _load_file(path)

    def _room(self, place: shards.Place, size: torch.Size, dtype: torch.dtype) -> Tensor:
        assert self.lightning_module is not None
        parameters = dict(self.lightning_module.named_parameters())
        match place:
            case ("state_dict", str(name)):
                like = parameters[name]
            case ("optimizer_states", int(which), "state", int(number), _):
                groups = self.optimizers[which].param_groups
                like = [p for group in groups for p in group["params"]][number]
            case _:
                raise AssertionError(f"nothing is sharded at {place}")
        return torch.empty_like(like, dtype=dtype, requires_grad=False)


def _load_file(path: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint
