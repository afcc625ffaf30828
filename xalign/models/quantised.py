"""Checkpoints whose weights are quantised: turned back into plain float32 ones where that can be done.

Training, exact measuring and an export that anybody can load need plain weights. Importing this module is
cheap: whether a checkpoint can be used is seen in its config, before torch is imported.
"""

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from xalign.base.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

log = logging.getLogger(__name__)

PLAIN: Mapping[str, str | None] = {
    "bitsandbytes_4bit": "bitsandbytes",
    "bitsandbytes_8bit": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "fp8": None,
    "metal": None,
    "mxfp4": None,
    "mxfp8": None,
}
"""Kind of quantisation -> package that it takes, besides transformers, to make weights plain. Others, such as
GPTQ and AWQ, can be run but not turned back. A test compares with what transformers says of itself."""

_ASKED = {"compressed-tensors", "fp8", "metal", "mxfp4", "mxfp8"}
"""Kinds that are made plain while they are loaded, if asked to be; others afterwards."""

_INSTEAD = "give the model that it was made from"


def problem_of_quantisation(config: Mapping[str, Any]) -> str | None:
    """Why the weights cannot be made plain, by the content of `config.json`; None where they can, or are."""
    given = _given(config)
    if given is None:
        return None
    if not isinstance(given, dict):
        return f"quantization_config={given!r:.60} in config.json: a JSON object is needed"
    method = _method(given)
    if method is None:
        return (
            "quantization_config in config.json has no quant_method, so that nothing is known of how the "
            f"weights are stored; {_INSTEAD}"
        )
    if method not in PLAIN:
        return (
            f"the weights are quantised by '{method}', from which there is no way back to the plain ones "
            f"that training and measuring need; {_INSTEAD}"
        )
    package = PLAIN[method]
    if package and find_spec(package.replace("-", "_")) is None:
        return (
            f"the weights are quantised by '{method}'; making them plain takes a package: "
            f"pip install {package}; or {_INSTEAD}"
        )
    return None


def ask_for_plain_weights(network: "PreTrainedConfig", where: str) -> str | None:
    """Let `from_pretrained` make a quantised checkpoint's weights plain; how they are quantised, None where
    they are not. `where` begins the message.

    Raises:
        ModelError: there is no way from this kind back to plain weights, or its package is not installed.
    """
    content = network.to_dict()
    if problem := problem_of_quantisation(content):
        raise ModelError(f"{where}: {problem}")
    given = _given(content)
    method = _method(given) if isinstance(given, dict) else None
    if method in _ASKED:
        # transformers looks here before it looks at the text's own config.
        network.quantization_config = {**given, "dequantize": True}  # type: ignore[dict-item]
    return method


def with_plain_weights(model: "PreTrainedModel", method: str, where: str) -> "PreTrainedModel":
    """The model in float32, as any other from here on.

    Raises:
        ModelError: something in it is still quantised.
    """
    loaded: Any = model
    if getattr(loaded, "hf_quantizer", None) is not None:
        loaded = loaded.dequantize()
    loaded = loaded.float()
    low = [name for name, parameter in loaded.named_parameters() if not parameter.is_floating_point()]
    if low or getattr(loaded, "is_quantized", False) or getattr(loaded.config, "quantization_config", None):
        raise ModelError(
            f"{where}: the weights are quantised by '{method}', and still are after loading"
            f"{f' ({low[0]})' if low else ''}; {_INSTEAD}"
        )
    log.info("the weights were quantised (%s): they are plain float32 ones from here on", method)
    plain: PreTrainedModel = loaded
    return plain


def _given(config: Mapping[str, Any]) -> object:
    """What a config says of quantisation: of the model, or of the text's part of a multimodal one."""
    own = config.get("quantization_config")
    text = config.get("text_config")
    return text.get("quantization_config") if own is None and isinstance(text, dict) else own


def _method(given: Mapping[str, Any]) -> str | None:
    # Older checkpoints of bitsandbytes do not name it.
    for bits in (4, 8):
        if given.get(f"load_in_{bits}bit"):
            return f"bitsandbytes_{bits}bit"
    method = given.get("quant_method")
    return None if method is None else str(method)
