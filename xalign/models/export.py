"""The aligned model as a plain Hugging Face folder: adapters merged; what it loads as is what was trained.

A model that cannot be written and loaded again is refused before it is trained (`require_exportable`).
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

# Public by name, not by documentation: what `save_pretrained` does to the names and shapes of weights.
# tests/models/test_export.py compares with what it writes.
from transformers.core_model_loading import revert_weight_conversion
from transformers.modeling_utils import remove_tied_weights_from_state_dict

from xalign.base.errors import ModelError, RunError
from xalign.base.files import fsync, fsync_tree, naming
from xalign.config.schema import ModelConfig
from xalign.data.collate import Tokens
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone, computing_in, evaluating
from xalign.models.few_bits import few_bits
from xalign.models.fingerprint import weight_hashes
from xalign.models.loading import load_model_and_tokenizer, quiet
from xalign.models.own_path import CARD, MARK
from xalign.models.sources import first_line

log = logging.getLogger(__name__)

TOLERANCE = 1e-5
"""Relative difference of logits that float32 rounding of the merged weights may make."""

PROBE = 8, 8
"""Texts, and tokens of each, whose logits are compared."""

SAMPLE = "Save the changes? 你好，世界! Привет ١٢٣ नमस्ते สวัสดี\n\tSi\xf1or 'x' {name} 😀"
"""Text of several scripts, for comparing tokenizers."""


def require_exportable(backbone: Backbone) -> None:
    """Rehearse `export` without weights: write the configuration and the tokenizer for a moment, and let
    transformers load weights of the names and shapes that it would write.

    Raises:
        ModelError: transformers refuses to write the model, or would load it with other parameters.
    """
    model, kind = _whole(backbone.model), type(backbone.model).__name__
    _require_tied_as_configured(model)
    try:
        with tempfile.TemporaryDirectory() as folder, quiet():
            model.save_pretrained(folder, state_dict={})
            backbone.tokenizer.save_pretrained(folder)
            trusted = model.is_remote_code()
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trusted)
            factory: Any = type(model)
            again, report = factory.from_pretrained(
                None,
                config=config,
                state_dict=_as_written(model),
                dtype=torch.float32,
                device_map="meta",
                output_loading_info=True,
            )
    except Exception as error:  # whatever a model's own code raises while it is written or loaded
        raise ModelError(f"{kind} cannot be exported after training: {first_line(error)}") from error
    problems = {what: sorted(map(str, names)) for what, names in report.items() if names}
    expected, found = _shapes(model), _shapes(again)
    if other := sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n)):
        problems["other parameters"] = other
    if problems:
        listed = "; ".join(f"{what.replace('_', ' ')}: {names[0]}" for what, names in problems.items())
        raise ModelError(f"{kind} cannot be exported after training: written, it would load with {listed}")


def _whole(model: PreTrainedModel) -> PreTrainedModel:
    """The model; where its matrices are in few bits, one of its shape without values, which is written."""
    if not few_bits(model):
        return model
    with torch.device("meta"):
        whole: PreTrainedModel = type(model)(model.config)
    whole.tie_weights()
    whole.generation_config = model.generation_config
    return whole


def export(
    adapter: Adapter,
    folder: Path,
    notices: Iterable[Path] = (),
    own: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({}),
) -> None:
    """Write safetensors, config and tokenizer to `folder`, the unmerged adapter to `folder/adapter`, and what
    objectives trained beside the model to `folder/objectives/<name>.safetensors`.

    `notices` are files that belong beside every copy: the licence wants them, or the model's processor. The
    folder appears whole or not at all, and is checked: what transformers loads from it has the weights of the
    trained model to the bit, its logits but for the rounding of merged weights, and the same tokens.

    Call this last: adapters are merged in place, and the trained model is given up for the one that was
    loaded, which the backbone holds afterwards, so that memory holds one of them at a time.

    Raises:
        RunError: the disk is full, or the written model is not the trained one; then it is kept beside
            `folder`, with the ending `.unchecked`.
    """
    backbone = adapter.backbone
    if folder.exists() and not (folder / MARK).is_file():
        raise RunError(f"{folder} is there, and was not written by a run: move it, and run the same command")
    part, unchecked = (folder.with_name(f"{folder.name}.{end}") for end in ("part", "unchecked"))
    for former in (part, unchecked):
        shutil.rmtree(former, ignore_errors=True)
    part.mkdir(parents=True)
    trained = _probe(backbone)
    try:
        with naming(part), quiet():
            adapter.merge(part / "adapter")
            backbone.model.save_pretrained(part)
            backbone.tokenizer.save_pretrained(part)
            for notice in notices:
                shutil.copy(notice, part)
            for name, values in own.items():
                (part / "objectives").mkdir(exist_ok=True)
                tensors = {key: value.contiguous() for key, value in values.items()}
                save_file(tensors, part / "objectives" / f"{name}.safetensors")
            files = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
            mark = {"xalign": version("xalign"), "run": folder.parent.name, "files": [*files, CARD]}
            (part / MARK).write_text(json.dumps(mark, indent=1))
    except SafetensorError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise RunError(
            f"cannot write the model to {folder}: {error}. The trained parameters are in the checkpoint; "
            "mend the disk and run the same command"
        ) from error
    fsync_tree(part)
    try:
        _take_up(backbone, part, trained)
    except (ModelError, OSError) as error:
        part.rename(unchecked)
        raise RunError(
            f"the model as written is not the one that was trained: {error}. It is kept, unchecked, in "
            f"{unchecked}, and what was trained in the run's checkpoints"
        ) from error
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    fsync(folder.parent)


def _take_up(backbone: Backbone, folder: Path, trained: Tensor) -> None:
    """Give the backbone the model in `folder` in the place of its own, and compare the two.

    Raises:
        ModelError: it does not load, or differs.
    """
    _require_tied_as_configured(backbone.model)
    device, weights = backbone.device, weight_hashes(backbone.model)
    trusted = backbone.model.is_remote_code()
    backbone.forget_rounded_head()
    for parameter in backbone.model.parameters():
        parameter.grad, parameter.data = None, parameter.data.new_empty(0)  # others still hold the parameter
    written = ModelConfig(name=folder.name, path=str(folder), trust_remote_code=trusted)
    model, tokenizer = load_model_and_tokenizer(written)
    nn.Module.to(model, device)
    backbone.model = model
    _compare_weights(weights, weight_hashes(model))
    _compare_tokens(backbone.tokenizer, tokenizer)
    ids_BT = backbone.probe_ids(*PROBE)
    with evaluating(backbone):
        difference = _difference(model(input_ids=ids_BT).logits.flatten(0, 1), trained, len(ids_BT))
    if not difference <= TOLERANCE:
        raise ModelError(f"merging the adapters changed the logits by {difference:.1g} of their size")
    log.info("exported and loaded again: the same weights, logits within %.1g of their size", difference)


def _require_tied_as_configured(model: PreTrainedModel) -> None:
    # Who reads the config alone would load a head of its own as a tied one.
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    if getattr(model.config, "tie_word_embeddings", False) and not tied:
        raise ModelError("the head and the embeddings are configured as tied but are two tensors")


def _compare_weights(trained: Mapping[str, str], loaded: Mapping[str, str]) -> None:
    differing = sorted(n for n in trained.keys() | loaded.keys() if trained.get(n) != loaded.get(n))
    if differing:
        raise ModelError(f"{len(differing)} weights come back differently, such as {differing[0]}")


def _compare_tokens(own: PreTrainedTokenizerBase, loaded: PreTrainedTokenizerBase) -> None:
    trained, again = own(SAMPLE)["input_ids"], loaded(SAMPLE)["input_ids"]
    if trained != again:
        raise ModelError(f"the tokenizer comes back differently: {SAMPLE!r} was {trained}, is {again}")


def _difference(found: Tensor, wanted: Tensor, texts: int) -> float:
    """Relative difference of logits: the median over texts, because in a mixture of experts rounding may
    send a token of one of them to another expert."""
    rows = [(x.flatten(), y.flatten()) for x, y in zip(found.chunk(texts), wanted.chunk(texts), strict=True)]
    return float(torch.stack([(x - y).norm() / y.norm() for x, y in rows]).median())


def _probe(backbone: Backbone) -> Tensor:
    """Logits (B T, V) of texts that are the same whenever they are asked for."""
    ids_BT = backbone.probe_ids(*PROBE)
    with evaluating(backbone), computing_in(backbone, torch.float32):
        tokens = Tokens(ids_BT, torch.ones_like(ids_BT), torch.ones_like(ids_BT))
        return backbone.logits_at(tokens, torch.ones_like(ids_BT, dtype=torch.bool))


def _as_written(model: PreTrainedModel) -> dict[str, Tensor]:
    """Names and shapes of the weights as `save_pretrained` writes them, without values."""
    ignored = model._keys_to_ignore_on_save or ()  # of the classes: what it leaves out
    state = {name: value for name, value in model.state_dict().items() if name not in ignored}
    state = remove_tied_weights_from_state_dict(state, model)
    written: dict[str, Tensor] = revert_weight_conversion(
        model, {name: value.to("meta") for name, value in state.items()}
    )
    return written


def _shapes(model: PreTrainedModel) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
