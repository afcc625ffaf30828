"""The exported folder is a plain Hugging Face model that computes what the trained one computed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import tiny_backbone

from xalign.config import AdapterConfig
from xalign.data.collate import tokenize
from xalign.models import adapters
from xalign.models.adapters import ADAPTERS
from xalign.models.backbone import evaluating
from xalign.models.export import export

RELOAD = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = sys.argv[1]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
assert not any(name == "xalign" or name.startswith("xalign.") for name in sys.modules)
ids = tokenizer("Save the changes", return_tensors="pt")["input_ids"]
torch.save({"ids": ids, "logits": model(ids).logits.detach()}, folder + "/logits.pt")
"""


@pytest.mark.parametrize("family", ["llama", "xglm", "gpt2"])
@pytest.mark.parametrize("method", ADAPTERS.names())
def test_logits_survive_saving_and_reloading(family: str, method: str, tmp_path: Path) -> None:
    backbone = tiny_backbone(family, tie_word_embeddings=True)
    options = {"r": 4} if method == "lora" else {}
    adapter = adapters.attach(backbone, ADAPTERS.load(method).Config(method=method, **options))
    with torch.no_grad():  # as if trained; tied weights move together
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    tokens = tokenize(backbone.tokenizer, ["Save the changes"], 64)
    with evaluating(backbone):
        trained = backbone.model(tokens.input_ids).logits
    export(adapter, tmp_path / "model")
    subprocess.run([sys.executable, "-c", RELOAD, str(tmp_path / "model")], check=True, cwd=tmp_path)
    reloaded = torch.load(tmp_path / "model" / "logits.pt", weights_only=True)
    assert torch.equal(reloaded["ids"], tokens.input_ids)
    torch.testing.assert_close(reloaded["logits"], trained, atol=1e-5, rtol=1e-5)
    assert (tmp_path / "model" / "adapter").is_dir() == (method == "lora")


def test_a_head_trained_apart_is_refused(tmp_path: Path) -> None:
    backbone = tiny_backbone("llama", tie_word_embeddings=True)
    adapter = adapters.attach(backbone, AdapterConfig(method="full"))
    backbone.model.lm_head.weight = torch.nn.Parameter(backbone.model.lm_head.weight.detach().clone())
    with pytest.raises(AssertionError, match="configured as tied but are two tensors"):
        export(adapter, tmp_path / "model")
    assert not (tmp_path / "model").exists()
