"""Adapters as other people write them: with peft alone, for tiny models in folders."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from tiny import tiny_backbone
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

IDS = torch.arange(5, 25)[None]


def tiny_model(folder: Path, family: str = "llama", **changes: Any) -> Path:
    """A tiny model with its tokenizer, saved."""
    backbone = tiny_backbone(family, **changes)
    backbone.model.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    return folder


def lora(folder: Path, base: Path, *, seed: int = 1, named: str | None = None, **options: Any) -> Path:
    """A LoRA adapter of the model in `base`, moved as if trained; `named`: the base as its config says."""
    return other(folder, base, LoraConfig(**({"r": 4, "target_modules": ["q_proj"]} | options)), seed, named)


def other(folder: Path, base: Path, config: PeftConfig, seed: int = 1, named: str | None = None) -> Path:
    """The same for an adapter of any type."""
    config.task_type = "CAUSAL_LM"
    return save(get_peft_model(plain(base), config), folder, seed, named or str(base))


def save(peft: Any, folder: Path, seed: int, base: str) -> Path:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in peft.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    peft.save_pretrained(str(folder))
    change(folder, base_model_name_or_path=base)
    return folder


def change(folder: Path, **values: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def plain(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(input_ids=IDS).logits
    return found


def with_adapter(base: Path, folder: Path) -> Tensor:
    """Logits of the model with the adapter beside its weights, as peft computes them."""
    return logits(PeftModel.from_pretrained(plain(base), str(folder)))
