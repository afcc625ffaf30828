"""What a config's keys can be set to, where that is one of a few names."""

from enum import StrEnum


class Pooling(StrEnum):
    """How the hidden states of a sentence become one vector. Special tokens are always left out, and a text's
    first token where no special token stands before it."""

    mean = "mean"
    weighted_mean = "weighted_mean"
    last = "last"


class Centering(StrEnum):
    """What is subtracted from representations before the cosine."""

    none = "none"
    language = "language"


class RowInitialisation(StrEnum):
    """What the rows of new pieces begin as (`xalign/models/row_initialisation.py`)."""

    mean = "mean"
    nearest = "nearest"
    propagated = "propagated"


class OnError(StrEnum):
    """What happens where a file of text cannot be read."""

    stop = "stop"
    skip = "skip"


class Precision(StrEnum):
    """Arithmetic of forward and backward passes; parameters that are trained stay in float32."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Quantization(StrEnum):
    """In how many bits the frozen matrices are held that adapters are trained beside."""

    nf4 = "nf4"
    int8 = "int8"


class Combine(StrEnum):
    """How the objectives' gradients are made one (`xalign/training/combine.py`)."""

    weighted_sum = "weighted_sum"
    clip_each = "clip_each"
    pcgrad = "pcgrad"


class GradientClipping(StrEnum):
    """Older names of `loss.combine`: `per_objective` is `clip_each`, `total` is `weighted_sum`."""

    per_objective = "per_objective"
    total = "total"


class OptimizerKind(StrEnum):
    """What an optimizer step computes, and what it keeps in memory."""

    adamw = "adamw"
    adamw_8bit = "adamw_8bit"
    adamw_bf16 = "adamw_bf16"
    adafactor = "adafactor"


class StrategyName(StrEnum):
    """How training spreads over devices."""

    single = "single"
    ddp = "ddp"
    fsdp = "fsdp"


class TaskProvider(StrEnum):
    """Whose tasks are measured."""

    xalign = "xalign"
    lm_eval = "lm_eval"


class Demonstrations(StrEnum):
    """Which few-shot demonstrations stand before an item."""

    same_language = "same_language"
    pivot = "pivot"
    mixed = "mixed"
    code_switched = "code_switched"
    first = "first"


class ChatTemplate(StrEnum):
    """How instructions are written for the model."""

    plain = "plain"
    chat = "chat"
    auto = "auto"


class LoggerName(StrEnum):
    """Where metrics go besides `metrics.jsonl`."""

    none = "none"
    csv = "csv"
    tensorboard = "tensorboard"
    wandb = "wandb"
