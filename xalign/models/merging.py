"""Adapters merged into the model that they are of, as it is loaded."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from peft.utils.save_and_load import load_peft_weights
from torch import Tensor, nn
from transformers import PreTrainedModel

from xalign.base.errors import ModelError
from xalign.models.sources import first_line

log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Relative difference of logits that float32 rounding of the merged weights may make; one that is merged
wrongly makes one of about 1. That of the median text, as a mixture may send a token to another expert."""

PROBE = 8, 8
"""Texts, and tokens of each, whose logits are compared."""


def merge_adapters(model: PreTrainedModel, folders: Sequence[Path], where: str) -> PreTrainedModel:
    """The model with adapters merged into it, in order, in the arithmetic that it is held in; `where` begins
    the messages.

    Raises:
        ModelError: an adapter is of another model, or the merged model computes something else than the model
            with the adapter beside it.
    """
    for folder in folders:
        try:
            with warnings.catch_warnings(action="ignore"):  # peft's: all that it warns of is checked here
                model = _merged(model, folder)
        except ModelError as error:
            raise ModelError(f"{where}: the adapter in {folder} {error}") from error
        except Exception as error:  # peft, and files of any content, raise what they like
            raise ModelError(
                f"{where}: the adapter in {folder} cannot be merged: {first_line(error)}"
            ) from error
        log.info("merged the adapter in %s into the model", folder)
    return model


def _merged(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    config = PeftConfig.from_pretrained(str(folder))
    config.inference_mode = True
    if config.task_type not in (None, "CAUSAL_LM"):
        raise ModelError(f"is for another task: task_type={config.task_type} in adapter_config.json")
    head_is_table = _with_rows_of(model, folder)
    ids_BT = _probe_ids(model)
    with _apart(model):
        peft = PeftModel(model, config)
        result = peft.load_adapter(str(folder), "default", is_trainable=False)
        for what, names in (("lacks", result.missing_keys), ("has more:", result.unexpected_keys)):
            if names:
                raise ModelError(f"is of another model: it {what} {len(names)} weights, such as {min(names)}")
        if head_is_table:
            with torch.no_grad():
                model.get_output_embeddings().weight.copy_(model.get_input_embeddings().weight)
        wanted = _logits(model, ids_BT)
        whole: Any = peft.merge_and_unload()
    found = _logits(whole, ids_BT)
    differences = (found - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    if not (difference := float(differences.median())) <= TOLERANCE:
        raise ModelError(f"changes the logits by {difference:.1g} of their size when it is merged")
    merged: PreTrainedModel = whole
    return merged.requires_grad_(True).eval()


def _with_rows_of(model: PreTrainedModel, folder: Path) -> bool:
    """Give the model rows for the tokens that whoever trained the adapter has added, whose embeddings the
    adapter then holds; whether those are a tied head's, too, which it does not hold."""
    stored = load_peft_weights(str(folder), device="cpu")
    table: Any = model.get_input_embeddings()
    tied = table.weight is model.get_output_embeddings().weight
    rows = stored.get(f"base_model.model.{_name_of(model, table)}.weight")
    if rows is None or len(rows) <= table.num_embeddings:
        return False
    log.info("the adapter has embeddings of %d tokens, the model had %d", len(rows), table.num_embeddings)
    model.resize_token_embeddings(len(rows), mean_resizing=False)
    head = f"base_model.model.{_name_of(model, model.get_output_embeddings())}.weight"
    return tied and head not in stored


def _name_of(model: nn.Module, part: nn.Module) -> str:
    return next(name for name, module in model.named_modules() if module is part)


@contextmanager
def _apart(model: PreTrainedModel) -> Iterator[None]:
    """Inside, embeddings and head are two tensors, so that an adapter changes each by its own; one again
    afterwards, where they are still equal."""
    text: Any = model.config.get_text_config()
    table: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    if table.weight is not head.weight:
        yield
        return
    head.weight = nn.Parameter(head.weight.detach().clone())
    yield
    table, head = model.get_input_embeddings(), model.get_output_embeddings()  # perhaps others by now
    alike = torch.equal(table.weight, head.weight)
    if alike:
        head.weight = table.weight
    else:
        log.info(
            "embeddings and head were one matrix; the adapter changes them differently: two from here on"
        )
    text.tie_word_embeddings = model.config.tie_word_embeddings = alike


def _probe_ids(model: PreTrainedModel) -> Tensor:
    table: Any = model.get_input_embeddings()
    rows = len(table.weight)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(min(5, rows - 1), min(250, rows), PROBE, generator=generator)


def _logits(model: PreTrainedModel, ids_BT: Tensor) -> Tensor:
    """(B, T, V), in evaluation mode."""
    with torch.no_grad():
        logits: Tensor = model.eval()(input_ids=ids_BT.to(model.device)).logits
    return logits.float()
