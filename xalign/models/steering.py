"""Steering: a language's vector added to the states after some blocks, at inference, with no weight changed.

A language's vector at a layer is the mean of its sentences' vectors less the mean over languages (of
difference-of-means methods, such as Marks and Tegmark 2023; for languages ITLC and arXiv 2505.15257). What is
added turns states from one language into another: strength (v_to - v_away).

Shapes: B texts, T tokens, D hidden size, L blocks, K languages.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from xalign.base.errors import ConfigError, ModelError, did_you_mean
from xalign.base.languages import canonical
from xalign.config.schema import SteeringConfig
from xalign.models.backbone import Backbone
from xalign.models.fingerprint import model_fingerprint

MARK = "xalign_steering"
"""In the config of a model that is steered: what is added, so that its measurements are its own."""


def language_vectors(means: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Language -> its mean vectors (L + 1, D), less the mean over languages."""
    middle = torch.stack(list(means.values())).mean(0)
    return {code: own - middle for code, own in means.items()}


def first_share(vectors: Mapping[str, Tensor]) -> Tensor:
    """(L + 1,): the share of the first principal component in the correlations of the languages' vectors, by
    layer: 1 / K where they point everywhere, 1 where all lie on a line."""
    stacked_KLD = nn.functional.normalize(torch.stack(list(vectors.values())).double(), dim=2)
    correlations = torch.einsum("kld,mld->lkm", stacked_KLD, stacked_KLD)
    values = torch.linalg.eigvalsh(correlations).clamp(min=0)
    return (values[:, -1] / values.sum(dim=1).clamp(min=1e-12)).float()


def crossing(shares: Tensor) -> int:
    """The layer, after the embeddings, at which the share first crosses one half; half of the depth where it
    never does."""
    above = (shares >= 0.5).tolist()
    for layer in range(2, len(above)):
        if above[layer] is not above[layer - 1]:
            return layer
    return (len(above) - 1) // 2


def write_vectors(
    path: Path, vectors: Mapping[str, Tensor], backbone: Backbone, about: dict[str, Any]
) -> None:
    """Write vectors to a file that says of which model they are."""
    model = model_fingerprint(backbone.model, backbone.tokenizer)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {code: own.contiguous() for code, own in vectors.items()}
    save_file(content, path, metadata={"about": json.dumps({**about, "model": model})})


def read_vectors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Vectors by language, and what the file says of them.

    Raises:
        ModelError: the file is damaged, or none of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ModelError(
            f"model.steering.path={path}: no vectors of python -m xalign.steer: {error}"
        ) from None


def steer(backbone: Backbone, config: SteeringConfig) -> Callable[[], None]:
    """Let the model add, after the chosen blocks, what leads from one language to the other; what is
    returned undoes it.

    Raises:
        ConfigError: the file has no such language, or the model no such layer.
        ModelError: the vectors are of another model.
    """
    vectors, about = read_vectors(Path(config.path))
    if about["model"] != model_fingerprint(backbone.model, backbone.tokenizer):
        raise ModelError(
            f"model.steering.path={config.path}: vectors of another model; fit them on this one "
            "(python -m xalign.steer)"
        )
    away = about["pivot"] if config.away is None else config.away
    chosen = {key: _of(vectors, key, code) for key, code in (("to", config.to), ("away", away))}
    difference_LD = config.strength * (chosen["to"] - chosen["away"])
    layers = config.layers or [int(about["layer"])]
    if outside := [layer for layer in layers if not 1 <= layer <= backbone.depth]:
        raise ConfigError(
            [f"model.steering.layers: {outside[0]}: the model has blocks 1 to {backbone.depth}"]
        )
    handles = [
        backbone.blocks[layer - 1].register_forward_hook(_adding(difference_LD[layer])) for layer in layers
    ]
    digest = hashlib.sha256(difference_LD[layers].numpy().tobytes()).hexdigest()
    setattr(backbone.model.config, MARK, f"{layers} {digest}")

    def undo() -> None:
        for handle in handles:
            handle.remove()
        delattr(backbone.model.config, MARK)

    return undo


def _of(vectors: Mapping[str, Tensor], key: str, code: str) -> Tensor:
    found = canonical(code)
    if found not in vectors:
        hint = did_you_mean(code, vectors)
        raise ConfigError([f"model.steering.{key}={code}: the file has {', '.join(sorted(vectors))}{hint}"])
    return vectors[found]


def _adding(added_D: Tensor) -> Callable[..., Any]:
    """A hook that adds to a block's states, alone or first of several results (B, T, D)."""

    def hook(block: nn.Module, inputs: Any, output: Any) -> Any:
        states = output if isinstance(output, Tensor) else output[0]
        if states.shape[-1] != len(added_D):
            raise ModelError(f"{type(block).__name__} gives {tuple(states.shape)}: it cannot be steered")
        changed = states + added_D.to(states)
        return changed if isinstance(output, Tensor) else (changed, *output[1:])

    return hook
