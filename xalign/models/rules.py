"""What a model's config must say, beyond the ranges of its keys."""

from collections.abc import Iterator
from pathlib import Path

from xalign.base.languages import canonical, is_language, unknown
from xalign.config.choices import RowInitialisation
from xalign.config.schema import ModelConfig, VocabularyConfig
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


def not_steered(model: ModelConfig) -> Iterator[str]:
    """What is trained or fitted is the model as it is."""
    if model.steering is not None:
        yield f"model.steering.path={model.steering.path}: of xalign.evaluate and xalign.analyze only"


def rules_of_vocabulary(config: VocabularyConfig) -> Iterator[str]:
    """What of an extension of the vocabulary does not fit together."""
    if not config.languages.targets:
        yield "languages.targets=[]: at least one language, that the tokenizer is to have more pieces of"
    if config.size == 0 and not config.language_tokens:
        yield "size=0: nothing would be added (language_tokens=true adds tokens of languages)"
    if config.output is None:
        yield "output: required, but not given (a folder for the model)"
    wanted = {RowInitialisation.nearest: "vectors", RowInitialisation.propagated: "adapted"}
    for choice, key in wanted.items():
        given = getattr(config, key)
        if config.initialise is choice and given is None:
            yield f"{key}: required with initialise={choice}, but not given"
        if config.initialise is not choice and given is not None:
            yield f"{key}={given}: read with initialise={choice} only"
    if config.model.quantization is not None:
        yield f"model.quantization={config.model.quantization}: rows are added to the weights as they are"
    for code in config.text:
        if not is_language(code):
            yield f"text.{code}: {unknown(code)}"
        elif canonical(code) not in (config.languages.pivot, *config.languages.targets):
            yield f"text.{code}: neither languages.pivot nor among languages.targets"
