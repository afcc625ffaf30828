"""The aligned model as a plain Hugging Face folder: adapters merged, head tied as it was."""

import json
import logging
import shutil
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xalign.data.collate import Tokens
from xalign.errors import RunError
from xalign.files import fsync, fsync_tree, naming
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone, computing_in, evaluating
from xalign.models.own_path import CARD, MARK

log = logging.getLogger(__name__)

MERGE_TOLERANCE = 1e-5
"""Relative difference of logits that float32 rounding of the merged weights may make."""


def export(
    adapter: Adapter,
    folder: Path,
    notices: Iterable[Path] = (),
    own: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({}),
) -> None:
    """Write safetensors, config and tokenizer to `folder`, the unmerged adapter to `folder/adapter`, and what
    objectives trained beside the model to `folder/objectives/<name>.safetensors`.

    `notices` are files that the model's licence wants beside every copy. Low-rank adapters are merged
    into the model in place, so call this last. The folder appears whole or not at all.

    What was trained is what is written: logits before and after merging are compared, and the files with
    the memory.

    Raises:
        RunError: the disk is full, or the written model is not the trained one.
    """
    trained = _probe(adapter.backbone)
    if folder.exists() and not (folder / MARK).is_file():
        raise RunError(f"{folder} is there, and was not written by a run: move it, and run the same command")
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    backbone = adapter.backbone
    try:
        with naming(part):
            adapter.merge(part / "adapter")
            _assert_tied_as_configured(backbone.model)
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
    _check(backbone, trained, part)
    fsync_tree(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    fsync(folder.parent)


def _probe(backbone: Backbone) -> Tensor:
    """Logits (1, T, V) of a sequence that is the same whenever it is asked for."""
    # Token numbers below 256 are in every vocabulary.
    ids = torch.arange(5, 250, 7, device=backbone.device)[None]
    with evaluating(backbone), computing_in(backbone, torch.float32):
        tokens = Tokens(ids, torch.ones_like(ids), torch.ones_like(ids))
        return backbone.logits_at(tokens, torch.ones_like(ids, dtype=torch.bool))


def _check(backbone: Backbone, trained: Tensor, folder: Path) -> None:
    merged = _probe(backbone)
    difference = float((merged - trained).norm() / trained.norm())
    if not difference <= MERGE_TOLERANCE:
        raise RunError(f"merging the adapters changed the logits by {difference:.1g} of their size")
    values = backbone.model.state_dict()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  # no mapping
                if not torch.equal(file.get_tensor(name), values[name].cpu()):
                    raise RunError(f"{name} in {path} is not what was trained")
    log.info(
        "exported: merged and trained logits differ by %.1g of their size (largest difference %.1g)",
        difference,
        float((merged - trained).abs().max()),
    )


def _assert_tied_as_configured(model: torch.nn.Module) -> None:
    # A head that was trained apart from the embeddings would be lost on reloading as a tied one.
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight  # type: ignore[operator]
    if model.config.get_text_config().tie_word_embeddings and not tied:  # type: ignore[union-attr,operator]
        raise AssertionError("the LM head and the embeddings are configured as tied but are two tensors")
