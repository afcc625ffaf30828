"""Attention masks for rows in which a token does not see all that stands before it.

Shapes: B rows, T tokens, K keys (T, or more where keys were kept).
"""

import torch
from torch import Tensor
from transformers import PreTrainedConfig

Masks = Tensor | dict[str, Tensor]
"""As a decoder takes them: one (B, 1, T, K), or one for each kind of its layers."""


def additive_masks(
    config: PreTrainedConfig, seen_BTK: Tensor, distance_BTK: Tensor, dtype: torch.dtype
) -> Masks:
    """0 where a token sees a key, the lowest number of `dtype` elsewhere.

    `distance_BTK` counts tokens of the text from key to token: layers with a sliding window see no further.
    Models whose layers are of several kinds (`layer_types`) take a mask for each.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ())
    window = getattr(text, "sliding_window", None)
    near_BTK = seen_BTK & (distance_BTK < window) if window else seen_BTK
    if not kinds:
        return _additive(near_BTK, dtype)
    masks = {"full_attention": _additive(seen_BTK, dtype)}
    if "sliding_attention" in kinds:
        masks["sliding_attention"] = _additive(near_BTK, dtype)
    return masks


def packed_masks(
    config: PreTrainedConfig, texts_BT: Tensor, positions_BT: Tensor, dtype: torch.dtype
) -> Masks:
    """For rows of several texts: a token sees those before it in its own text, and itself."""
    place_T = torch.arange(texts_BT.shape[1], device=texts_BT.device)
    same_BTT = texts_BT[:, :, None] == texts_BT[:, None, :]
    seen_BTT = same_BTT & (place_T <= place_T[:, None])
    return additive_masks(config, seen_BTT, positions_BT[:, :, None] - positions_BT[:, None, :], dtype)


def _additive(seen_BTK: Tensor, dtype: torch.dtype) -> Tensor:
    mask_BTK = torch.zeros(seen_BTK.shape, dtype=dtype, device=seen_BTK.device)
    return mask_BTK.masked_fill_(~seen_BTK, torch.finfo(dtype).min)[:, None]
