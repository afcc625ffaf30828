"""Checkpoints whose weights are quantised: turned back into plain float32 ones where transformers can do it.

Training, exact measuring and an export that anybody can load need plain weights.
"""

import inspect
import logging
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AUTO_QUANTIZER_MAPPING
from transformers.quantizers.base import HfQuantizer

from xalign.base.errors import ModelError, did_you_mean

log = logging.getLogger(__name__)


def ask_for_plain_weights(network: PreTrainedConfig, where: str) -> str | None:
    """Let `from_pretrained` turn a quantised checkpoint's weights into plain ones; the name of how they were
    quantised, None where they were not. `where` begins the message.

    Raises:
        ModelError: transformers has no way from this kind back to plain weights.
    """
    config, text = network, network.get_text_config()
    given = getattr(config, "quantization_config", None)
    if given is None:
        config, given = text, getattr(text, "quantization_config", None)
    if given is None:
        return None
    if not isinstance(given, dict):
        raise ModelError(f"{where}: quantization_config={given!r:.60} in config.json: an object is needed")
    method = _method(given)
    if method not in AUTO_QUANTIZATION_CONFIG_MAPPING:
        raise ModelError(
            f"{where}: the weights are quantised by '{method}', which transformers does not know"
            f"{did_you_mean(method, AUTO_QUANTIZATION_CONFIG_MAPPING)}; {_INSTEAD}"
        )
    if "dequantize" in inspect.signature(AUTO_QUANTIZATION_CONFIG_MAPPING[method]).parameters:
        config.quantization_config = {**given, "dequantize": True}
    elif getattr(AUTO_QUANTIZER_MAPPING[method], "_dequantize") is HfQuantizer._dequantize:  # noqa: B009
        raise ModelError(
            f"{where}: the weights are quantised by '{method}', from which transformers has no way back to "
            f"plain ones; {_INSTEAD}"
        )
    return method


def with_plain_weights(model: PreTrainedModel, method: str, where: str) -> PreTrainedModel:
    """The model in float32, as any other from here on.

    Raises:
        ModelError: something in it is still quantised.
    """
    loaded: Any = model
    if getattr(loaded, "hf_quantizer", None) is not None:
        loaded = loaded.dequantize()
    loaded = loaded.float()
    low = [name for name, parameter in loaded.named_parameters() if not parameter.is_floating_point()]
    if low or getattr(loaded, "is_quantized", False) or hasattr(loaded.config, "quantization_config"):
        raise ModelError(
            f"{where}: the weights are quantised by '{method}', and still are after loading"
            f"{f' ({low[0]})' if low else ''}; {_INSTEAD}"
        )
    log.info("the weights were quantised (%s): they are plain float32 ones from here on", method)
    plain: PreTrainedModel = loaded
    return plain


_INSTEAD = "give the model that it was made from"


def _method(given: dict[str, Any]) -> str:
    if given.get("load_in_4bit") or given.get("load_in_8bit"):
        return "bitsandbytes_4bit" if given.get("load_in_4bit") else "bitsandbytes_8bit"
    return str(given.get("quant_method"))
