"""The aligned model as a plain Hugging Face folder: adapters merged, head tied as it was."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError

from xalign.errors import RunError
from xalign.models.adapters import Adapter


def export(adapter: Adapter, folder: Path, notices: Iterable[Path] = ()) -> None:
    """Write safetensors, config and tokenizer to `folder`, and the unmerged adapter to `folder/adapter`.

    `notices` are files that the model's licence wants beside every copy. Low-rank adapters are merged
    into the model in place, so call this last. The folder appears whole or not at all.

    Raises:
        RunError: the disk is full.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    backbone = adapter.backbone
    if isinstance(adapter.peft, PeftModel):
        adapter.peft.save_pretrained(str(part / "adapter"), safe_serialization=True)
        backbone.model = adapter.peft.merge_and_unload()
        adapter.peft = None
    _assert_tied_as_configured(backbone.model)
    try:
        backbone.model.save_pretrained(part)
        backbone.tokenizer.save_pretrained(part)
        for notice in notices:
            shutil.copy(notice, part)
    except SafetensorError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise RunError(
            f"cannot write the model to {folder}: {error}. The trained parameters are in the checkpoint; "
            "mend the disk and run the same command"
        ) from error
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _assert_tied_as_configured(model: torch.nn.Module) -> None:
    # A head that was trained apart from the embeddings would be lost on reloading as a tied one.
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight  # type: ignore[operator]
    if model.config.get_text_config().tie_word_embeddings and not tied:  # type: ignore[union-attr,operator]
        raise AssertionError("the LM head and the embeddings are configured as tied but are two tensors")
