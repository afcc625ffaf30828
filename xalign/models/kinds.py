"""Which class of transformers a checkpoint is: a language model alone, or with towers for pictures or sound.

What a multimodal checkpoint holds beside its text decoder is loaded, stays as it is, and is written again.
"""

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)
from transformers.utils.hub import cached_file

from xalign.config.schema import ModelConfig
from xalign.models.sources import model_source

PROCESSOR_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "image_processor_config.json",
    "video_preprocessor_config.json",
    "chat_template.json",
)
"""What makes pictures and sound into a multimodal model's input; the tokenizer has its own files."""


def factory_of(config: PreTrainedConfig) -> Any:
    """The automatic class by which a checkpoint is loaded whole."""
    return AutoModelForMultimodalLM if is_multimodal(config) else AutoModelForCausalLM


def is_multimodal(config: PreTrainedConfig) -> bool:
    """Whether the checkpoint is of the multimodal class of its type, and not of the text's alone."""
    whole = MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES.get(config.model_type)
    text = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    if whole is None or whole == text:
        return False
    return text is None or text not in (config.architectures or [])


def problem_of_kind(config: PreTrainedConfig) -> str | None:
    """Why a checkpoint is no generative decoder, with or without towers; None where it is one."""
    kind = config.model_type
    own_code = getattr(config, "auto_map", None) or {}
    causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or "AutoModelForCausalLM" in own_code
    # transformers builds a causal head on encoders such as BERT too, whose blocks then look ahead.
    encoder = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    text = config.get_text_config() if is_multimodal(config) else config
    if getattr(config, "is_encoder_decoder", False) or getattr(text, "is_encoder_decoder", False):
        return "an encoder-decoder"
    if encoder:
        return "an encoder"
    if kind.endswith("_assistant"):
        return "a part of another model, which it drafts for"
    return None if causal or is_multimodal(config) else "not a causal language model"


def processor_files(config: ModelConfig) -> list[Path]:
    """The files beside a model's weights that its processor is made of; none where it is of text alone."""
    if not config.pretrained:
        return []
    source = model_source(config)
    options = {
        name: source.options[name] for name in ("revision", "local_files_only") if name in source.options
    }
    found = []
    for name in PROCESSOR_FILES:
        path = cached_file(
            source.location,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_connection_errors=False,
            **options,
        )
        found += [] if path is None else [Path(path)]
    return found
