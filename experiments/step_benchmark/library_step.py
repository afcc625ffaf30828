"""(b) What libraries offer: sentence-transformers for the contrastive branch, HF Trainer for the other.

As their users would: `MultipleNegativesRankingLoss` on all blocks (it knows no inner layer), `Trainer` with
labels on the answers only. Both train one and the same model, and their gradients are summed before one
step of the optimizer that Trainer chooses (fused AdamW): kinder than two trainings side by side, which keep
the moments twice. TRL's SFTTrainer builds on the same Trainer and adds token accuracy and entropy.
"""

import tempfile
from typing import Any

import torch
from published_step import padded
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.losses import MultipleNegativesRankingLoss
from sentence_transformers.models import Pooling, Transformer
from system import Gate, Setup
from texts import instruction_options, supervised_ids, temperature
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from xalign.data.collate import IGNORED


class GateCallback(TrainerCallback):
    """Opens the gate when Trainer begins an optimizer step, closes it when the step is done."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.losses: dict[str, float] = {}

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.losses.clear()
        self.gate.open()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.gate.close(dict(self.losses))


class Steps(Dataset[Any]):
    """Item i is what `make` gives for step i."""

    def __init__(self, length: int, make: Any) -> None:
        self.length, self.make = length, make

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> Any:
        return self.make(step)


class Sentences(SentenceTransformerTrainer):
    """sentence-transformers' trainer on the benchmark's own batches."""

    def __init__(self, setup: Setup, record: dict[str, float], **options: Any) -> None:
        super().__init__(**options)
        self.setup, self.record = setup, record

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Steps(self.setup.config.trainer.steps, self.features), batch_size=None)

    def features(self, step: int) -> Any:
        pairs = self.setup.texts.pairs(step)
        assert pairs is not None
        return self.data_collator([{"anchor": x, "positive": y} for x, y in zip(*pairs, strict=True)])

    def training_step(self, *arguments: Any, **options: Any) -> Tensor:
        loss = super().training_step(*arguments, **options)
        self.record["contrastive"] = float(loss)
        return loss

    def made_ready(self) -> nn.Module:
        """The model as `train` would prepare it, for steps that another trainer's loop takes."""
        self.current_gradient_accumulation_steps = 1
        self.model_wrapped = self.accelerator.prepare(self.model)
        return self.model_wrapped


class Instructions(Trainer):
    """Trainer on the benchmark's own batches, after the contrastive gradient where there is one."""

    def __init__(
        self, setup: Setup, record: dict[str, float], sentences: Sentences | None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.setup, self.record, self.sentences = setup, record, sentences
        self.sentence_model = sentences.made_ready() if sentences else None

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Steps(self.setup.config.trainer.steps, self.batch), batch_size=None)

    def batch(self, step: int) -> dict[str, Any]:
        setup, cpu = self.setup, torch.device("cpu")
        samples = setup.texts.samples(step)
        assert samples is not None
        options = instruction_options(setup.config)
        assert options is not None
        rows, labels = supervised_ids(setup.tokenizer, samples, options.max_length)
        made = {
            "input_ids": padded(rows, setup.tokenizer.pad_token_id, cpu),
            "attention_mask": padded([[1] * len(row) for row in rows], 0, cpu),
            "labels": padded(labels, IGNORED, cpu),
        }
        if self.sentences:
            made["sentences"] = self.sentences.features(step)
        return made

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        if self.sentences:
            assert self.sentence_model is not None
            self.sentences.training_step(self.sentence_model, inputs.pop("sentences"))
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.record["instruction"] = float(loss)
        return loss


def drive(setup: Setup, gate: Gate) -> None:
    """One of Trainer's steps whenever the gate opens."""
    config, callback = setup.config, GateCallback(gate)
    setup.model.requires_grad_(True)
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "output_dir": folder,
            "max_steps": config.trainer.steps,
            "learning_rate": config.optimizer.lr,
            "bf16": setup.dtype is torch.bfloat16,
            "use_cpu": setup.device.type == "cpu",
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "remove_unused_columns": False,
        }
        sentences = None
        if "contrastive" in config.loss.objectives:
            model = sentence_transformer(setup, folder)
            sentences = Sentences(
                setup,
                callback.losses,
                model=model,
                args=SentenceTransformerTrainingArguments(**options),
                loss=MultipleNegativesRankingLoss(model, scale=1 / temperature(config)),
            )
        if "instruction" not in config.loss.objectives:
            assert sentences is not None
            sentences.add_callback(callback)
            sentences.train()
        else:
            # Trainer asks for a data set; batches come from `get_train_dataloader`.
            trainer = Instructions(
                setup,
                callback.losses,
                sentences,
                model=setup.model,
                args=TrainingArguments(**options),
                callbacks=[callback],
            )
            trainer.train()


def sentence_transformer(setup: Setup, folder: str) -> SentenceTransformer:
    """The model's own decoder, sharing every parameter, with last-token pooling."""
    setup.tokenizer.save_pretrained(folder)
    setup.model.config.save_pretrained(folder)

    class Decoder(Transformer):
        def _load_model(self, *_: Any, **__: Any) -> PreTrainedModel:
            return setup.model.get_decoder()

    decoder = Decoder(folder, max_seq_length=setup.config.trainer.max_length)
    pooling = Pooling(setup.model.config.get_text_config().hidden_size, pooling_mode="lasttoken")
    return SentenceTransformer(modules=[decoder, pooling], device=str(setup.device))
