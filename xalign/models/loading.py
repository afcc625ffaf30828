"""From `ModelConfig` to a causal language model in float32 and its tokenizer, or one clear message."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from xalign.base.errors import ModelError, did_you_mean, needs_extra
from xalign.config.choices import Quantization
from xalign.config.schema import ModelConfig
from xalign.models.adapter_folder import Stack
from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.models.few_bits import quantise
from xalign.models.fingerprint import model_fingerprint
from xalign.models.finite import require_finite_weights
from xalign.models.kinds import factory_of, problem_of_kind
from xalign.models.merging import merge_adapters
from xalign.models.quantised import ask_for_plain_weights, with_plain_weights
from xalign.models.sources import (
    UNFORESEEN,
    Source,
    adapters_at,
    base_of,
    explained,
    first_line,
    model_source,
    tokenizer_source,
)
from xalign.models.stored import stored_dtype
from xalign.models.tokenizer_check import require_tokens

__all__ = ["load_model_and_tokenizer", "model_fingerprint"]

_log = logging.getLogger(__name__)


def load_model_and_tokenizer(
    config: ModelConfig, seed: int = 0, *, as_stored: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model (float32, but for `config.quantization`; in evaluation mode) and its tokenizer, which has a
    padding token.

    `as_stored`: weights stay in the file, of its number type, mapped into memory: a process that keeps a part
    of them reads no other. They are taken to be finite, as another process has found.

    `seed` draws the weights of `pretrained=false`; the global random state stays as it is. Safetensors
    are preferred to pickled weights, which transformers reads with `weights_only=True`. Raises
    `ModelError` for what cannot be loaded or is not a causal language model, `ArtifactError` for a
    package that cannot be had.
    """
    # Otherwise transformers asks a service on the hub, in a background thread, to convert old weights.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    if not config.pretrained:
        tokenizer = _load_tokenizer(config, None)
        return _in_few_bits(_build_random(config.architecture, tokenizer, seed), config), tokenizer
    # What is small and wrong comes to light before gigabytes of weights are read.
    if stack := adapters_at(config):
        model, tokenizer = _load_merged(config, stack)
        return _in_few_bits(model, config), tokenizer
    source = model_source(config)
    network = _load_config(source)
    tokenizer = _load_tokenizer(config, source)
    source.fetch_weights()
    model = _load_weights(source, network, as_stored=as_stored)
    _require_rows(model, tokenizer)
    return _in_few_bits(model, config), tokenizer


def _in_few_bits(model: PreTrainedModel, config: ModelConfig) -> PreTrainedModel:
    if config.quantization is None:
        return model
    if config.quantization is Quantization.nf4 and find_spec("bitsandbytes") is None:
        raise ModelError(needs_extra("model.quantization=nf4", "quantization"))
    return quantise(model, config.quantization)


def _load_merged(config: ModelConfig, stack: Stack) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model with the adapters at `model.path` merged into it."""
    where = f"model.path={config.path}"
    try:
        base = base_of(config, stack)
        source = model_source(base)
        network = _load_config(source)
        tokenizer = _load_tokenizer(base, source)
        source.fetch_weights()
        model = _load_weights(source, network)
    except ModelError as error:
        raise ModelError(f"{where}: a peft adapter, whose base cannot be loaded: {error}") from error
    model = merge_adapters(model, stack.adapters, where)
    require_finite_weights(model, where)
    _require_rows(model, tokenizer)
    # Whoever trains an adapter of the merged model states this as its base.
    model.name_or_path = (
        str(Path(str(config.path)).resolve()) if Path(str(config.path)).is_dir() else config.path
    )
    return model, tokenizer


def _load_config(source: Source) -> PreTrainedConfig:
    try:
        with quiet():
            network: PreTrainedConfig = AutoConfig.from_pretrained(source.location, **source.options)
    except UNFORESEEN as error:
        raise _unfit(source, error) from error
    except Exception as error:  # the hub's client has errors of many libraries
        raise explained(source, "model", error) from error
    _require_causal(network, f"{source.key}={source.name}")
    _settle(network)
    return network


def _unfit(source: Source, error: Exception) -> ModelError:
    return ModelError(
        f"{source.key}={source.name}: config.json holds values that do not go together: {first_line(error)}"
    )


def _load_tokenizer(config: ModelConfig, model: Source | None) -> PreTrainedTokenizerBase:
    if config.tokenizer == "bytes":
        return byte_tokenizer()
    source = tokenizer_source(config, model)
    tokenizer: PreTrainedTokenizerBase
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(source.location, **source.options)
    except Exception as error:  # damaged files raise whatever they happen to lead to
        raise explained(source, "tokenizer", error) from error
    require_tokens(tokenizer, f"{source.key}={source.name}", Path(source.location))
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ModelError(
                f"{source.key}={source.name}: the tokenizer has no padding and no end-of-sequence token"
            )
        _log.info(
            "the tokenizer has no padding token: its end-of-sequence token %s pads", tokenizer.eos_token
        )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _load_weights(source: Source, network: PreTrainedConfig, *, as_stored: bool = False) -> PreTrainedModel:
    factory = factory_of(network)
    where = f"{source.key}={source.name}"
    quantised = ask_for_plain_weights(network, where)
    try:
        with quiet():
            model, report = factory.from_pretrained(
                source.location,
                config=network,
                dtype=stored_dtype(source) if as_stored else torch.float32,
                output_loading_info=True,
                **source.options,
            )
    except Exception as error:  # damaged files raise whatever they happen to lead to
        explanation = explained(source, "model", error)
        fault = None if isinstance(error, OSError | ImportError) else _fault_of_config(source, network)
        raise (ModelError(fault) if fault else explanation) from error
    if report["missing_keys"]:
        # transformers would go on with random values.
        raise ModelError(
            f"{where}: the weights lack {len(report['missing_keys'])} parameters of the "
            f"architecture, such as {min(report['missing_keys'])}"
        )
    if report["unexpected_keys"]:
        keys = report["unexpected_keys"]
        _log.warning(
            "%s: %d weights are not part of the model, such as %s", source.name, len(keys), min(keys)
        )
    if quantised:
        model = with_plain_weights(model, quantised, where)
    if not as_stored:
        require_finite_weights(model, where)
    # Not where a repository's copy lies: adapters state it as their base.
    model.name_or_path = str(source.folder.resolve()) if source.folder else source.name
    loaded: PreTrainedModel = model.eval()
    return loaded


def _fault_of_config(source: Source, network: PreTrainedConfig) -> str | None:
    """What is wrong with the config, where this is why the weights could not be loaded: without weights its
    architecture cannot be made either, or theirs have other shapes."""
    factory = factory_of(network)
    try:
        with torch.device("meta"):
            factory.from_config(network)
    except Exception as error:
        return str(_unfit(source, error))
    options = {"device_map": "meta", "ignore_mismatched_sizes": True, "output_loading_info": True}
    try:
        with quiet():
            _, report = factory.from_pretrained(source.location, config=network, **options, **source.options)
    except Exception:  # another cause
        return None
    found = sorted(report["mismatched_keys"])
    if not found:
        return None
    name, stored, wanted = found[0]
    return (
        f"{source.key}={source.name}: {len(found)} weights have other shapes than config.json says, such as "
        f"{name}: {list(stored)} where {list(wanted)} is wanted"
    )


def _build_random(
    architecture: dict[str, Any], tokenizer: PreTrainedTokenizerBase, seed: int
) -> PreTrainedModel:
    values = dict(architecture)
    model_type = str(values.pop("model_type", None))
    if model_type not in CONFIG_MAPPING:
        raise ModelError(
            f"model.architecture.model_type={model_type}: transformers has no such architecture"
            f"{did_you_mean(model_type, CONFIG_MAPPING)}"
        )
    default = CONFIG_MAPPING[model_type]()
    # rope_theta: an older name that transformers still reads.
    allowed = {*default.to_dict(), *default.attribute_map, "rope_theta"}
    for key in values:
        if key not in allowed:
            raise ModelError(
                f"model.architecture.{key}: {model_type} has no such value{did_you_mean(key, allowed)}; "
                f"allowed: {', '.join(sorted(k for k in allowed if k[:1] != '_'))}"
            )
    try:
        network = AutoConfig.for_model(model_type, **values)
        _require_causal(network, f"model.architecture.model_type={model_type}")
        _settle(network)
        text = network.get_text_config()
        if text.vocab_size < len(tokenizer):
            _log.info("vocabulary raised from %d to the tokenizer's %d", text.vocab_size, len(tokenizer))
            text.vocab_size = len(tokenizer)
        for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(text, token, getattr(tokenizer, token))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = factory_of(network).from_config(network, dtype=torch.float32)
    except ModelError:
        raise
    except Exception as error:  # as many kinds as there are values that do not fit together
        raise ModelError(f"model.architecture={architecture}: {first_line(error)}") from error
    built: PreTrainedModel = model.eval()
    return built


def _require_causal(config: PreTrainedConfig, where: str) -> None:
    if problem := problem_of_kind(config):
        raise ModelError(
            f"{where}: '{config.model_type}' is {problem}; a decoder-only model is needed, as "
            "model=gemma3_270m is"
        )


def _settle(config: PreTrainedConfig) -> None:
    """Put aside what would make the model another one in training, or after it."""
    if getattr(config, "layerdrop", 0.0):
        _log.info("layerdrop set from %s to 0: blocks would vanish during training", config.layerdrop)
        config.layerdrop = 0.0
    if getattr(config, "rescale_every", 0):
        # RWKV, against overflow in float16: it changes its weights in place, and they would be written so.
        _log.info("rescale_every set from %s to 0: weights would be written rescaled", config.rescale_every)
        config.rescale_every = 0


def _require_rows(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = model.get_input_embeddings().num_embeddings
    special = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id]
    used = max(tokenizer.vocab_size, *(i + 1 for i in special if isinstance(i, int)))
    if used > rows:
        raise ModelError(
            f"the tokenizer has {used} tokens but the model's vocabulary only {rows}: "
            "they do not belong together (model.tokenizer=null takes the one beside the model)"
        )
    if len(tokenizer) > rows:
        # As in the smaller Gemma 3 models, whose tokenizer also knows image tokens.
        _log.warning(
            "%d added tokens lie beyond the model's vocabulary; text with them cannot be used",
            len(tokenizer) - rows,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """No remarks and no bars of transformers while models are loaded or written."""
    settings: Any = transformers_logging
    verbosity, shown = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity_error()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.set_verbosity(verbosity)
        if shown:
            settings.enable_progress_bar()
