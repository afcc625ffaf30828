"""What a model's config must say, beyond the ranges of its keys."""

from collections.abc import Iterator
from pathlib import Path

from xalign.config.schema import ModelConfig
from xalign.models.adapter_folder import is_adapter


def rules(model: ModelConfig) -> Iterator[str]:
    """Everything that is wrong."""
    if model.tokenizer_revision is not None and (model.tokenizer is None or Path(model.tokenizer).exists()):
        yield (
            f"model.tokenizer_revision={model.tokenizer_revision}: of model.tokenizer on the hub, which is "
            f"{model.tokenizer or 'the one beside the model (model.revision)'}"
        )
    if model.base_revision is not None and not (
        model.pretrained and model.path and _may_be_adapter(model.path)
    ):
        yield f"model.base_revision={model.base_revision}: read where model.path is a peft adapter only"
    if model.pretrained:
        if not (model.path or model.artifact):
            yield (
                "model.path: a pretrained model needs a hub id, a folder or a GGUF file "
                "(or a preset: model=gemma3_270m)"
            )
        return
    if "model_type" not in model.architecture:
        yield "model.architecture: model.pretrained=false needs an architecture with a model_type"
    if not model.tokenizer:
        yield (
            "model.tokenizer: model.pretrained=false needs a tokenizer "
            "(bytes, gemma3_270m, smollm2_135m, a folder or a hub id)"
        )


def _may_be_adapter(path: str) -> bool:
    """What a repository on the hub holds is not known here."""
    return is_adapter(Path(path)) or not Path(path).is_dir()
