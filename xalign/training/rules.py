"""What the config groups of training must say: layers, batches, ranks, optimizers. Imports nothing heavy."""

from collections.abc import Iterator

from xalign.config.choices import OptimizerKind, Precision, StrategyName
from xalign.config.schema import Config
from xalign.distributed.world import world_of_launcher
from xalign.models.adapters import ADAPTERS
from xalign.training.callbacks import rules as callbacks


def rules(config: Config) -> Iterator[str]:
    """What can be said of training without the model and the text."""
    loss, trainer = config.loss, config.trainer
    if config.model.depth is not None and loss.layer is not None and loss.layer > config.model.depth:
        yield f"loss.layer={loss.layer}: {config.model.name} has layers 0 to {config.model.depth}"
    if not loss.objectives:
        yield "loss.objectives: none has a weight above 0, so that nothing would be trained"
    if trainer.batch_size % trainer.languages_per_batch:
        yield (
            f"trainer.languages_per_batch={trainer.languages_per_batch}: must divide "
            f"trainer.batch_size={trainer.batch_size}"
        )
    elif trainer.languages_per_batch > len(config.languages.targets):
        yield (
            f"trainer.languages_per_batch={trainer.languages_per_batch}: "
            f"there are {len(config.languages.targets)} languages.targets"
        )
    size = trainer.micro_batch
    if size != "auto" and not (size.isdecimal() and int(size) >= 1):
        yield f"trainer.micro_batch={size}: must be auto or a number of tokens, at least 1"
    if trainer.devices > 1 and config.strategy.name is StrategyName.single:
        yield f"trainer.devices={trainer.devices}: needs strategy=ddp or strategy=fsdp"
    if trainer.nodes > 1 and world_of_launcher() is None:
        yield f"trainer.nodes={trainer.nodes}: is set by torchrun or srun, which start ranks on each machine"
    yield from _strategy_rules(config)
    if config.optimizer.kind is OptimizerKind.adamw_bf16:
        yield from _low_weights_rules(config)
    if config.model.quantization is not None:
        few = f"model.quantization={config.model.quantization}"
        if ADAPTERS.load(config.adapter.method).trains_model:
            yield f"{few}: only beside frozen weights (adapter=lora), not adapter={config.adapter.method}"
        if config.strategy.name is StrategyName.fsdp:
            yield f"{few}: not with strategy=fsdp, which cuts matrices into shards; strategy=ddp"
    yield from callbacks.rules(config)


def _strategy_rules(config: Config) -> Iterator[str]:
    """What sharding cannot be had with, or what has no meaning without it."""
    strategy = config.strategy
    if strategy.name is not StrategyName.fsdp:
        if strategy.cpu_offload:
            yield "strategy.cpu_offload=true: needs strategy=fsdp"
        if not strategy.reshard_after_forward:
            yield "strategy.reshard_after_forward=false: needs strategy=fsdp"
        if strategy.replicate > 1:
            yield f"strategy.replicate={strategy.replicate}: needs strategy=fsdp"
        return
    world = world_of_launcher()
    ranks = config.ranks if world is None else world.ranks
    if ranks % strategy.replicate:
        yield f"strategy.replicate={strategy.replicate}: must divide the number of ranks, {ranks}"
    if config.trainer.compile:
        yield "trainer.compile=true: not with strategy=fsdp"
    if config.trainer.average_from is not None:
        yield f"trainer.average_from={config.trainer.average_from}: not with strategy=fsdp"
    kind, method = config.optimizer.kind, config.adapter.method
    trains_model = ADAPTERS.load(method).trains_model
    if kind is not OptimizerKind.adamw and trains_model:
        # Adafactor's states are means over whole matrices, bitsandbytes knows nothing of shards.
        yield f"optimizer.kind={kind}: with strategy=fsdp and adapter={method} only adamw"


def _low_weights_rules(config: Config) -> Iterator[str]:
    """What weights kept in bf16 need: the model whole, in one process, its products in bf16 as well."""
    low, method = "optimizer.kind=adamw_bf16", config.adapter.method
    trains_model = ADAPTERS.load(method).trains_model
    if not trains_model:
        yield f"{low}: saves nothing with adapter.method={method}; adapter=full?"
    if config.trainer.precision is not Precision.bf16:
        yield f"{low}: needs trainer.precision=bf16 (trainer.precision={config.trainer.precision})"
    if config.strategy.name is not StrategyName.single:
        yield f"{low}: needs strategy=single (strategy={config.strategy.name})"
