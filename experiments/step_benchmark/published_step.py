"""(a) The published training step, re-implemented from its description (Li et al., NAACL 2024; its script).

The whole causal language model runs in both branches with all hidden states and logits everywhere, in fp32;
batches are padded to their longest text; last-token pooling, raw cosine, one direction; one backward of the
summed loss; AdamW on everything. Kinder than the original, which pads to the maximal length and runs
its optimizer unfused: any difference seen here is one of the method, not of carelessness.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from system import Gate, Setup, autocast
from texts import instruction_options, sentence_ids, supervised_ids, temperature
from torch import Tensor
from transformers import PreTrainedModel

from xalign.data.collate import IGNORED

Rows = list[list[int]]


class PublishedStep:
    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.model: PreTrainedModel = setup.model.train().requires_grad_(True)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=setup.config.optimizer.lr, weight_decay=0.0, fused=True
        )

    def step(self, pairs: tuple[Rows, Rows] | None, samples: tuple[Rows, Rows] | None) -> dict[str, float]:
        """One optimizer step; the losses before it."""
        config = self.setup.config
        losses = self.losses(pairs, samples)
        weighted = [config.loss.objectives[name].weight * loss for name, loss in losses.items()]
        torch.stack(weighted).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.trainer.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def losses(self, pairs: tuple[Rows, Rows] | None, samples: tuple[Rows, Rows] | None) -> dict[str, Tensor]:
        """Both losses; every output, logits among them, lives until the last is computed."""
        losses: dict[str, Tensor] = {}
        if pairs is not None:
            outputs = [self.run(rows) for rows in pairs]
            x_ND, y_ND = (
                F.normalize(
                    states[self.setup.layer][
                        torch.arange(len(mask), device=mask.device), mask.sum(1) - 1
                    ].float(),
                    dim=-1,
                )
                for states, _, mask in outputs
            )
            similarity_NN = x_ND @ y_ND.T / temperature(self.setup.config)
            losses["contrastive"] = F.cross_entropy(
                similarity_NN, torch.arange(len(x_ND), device=x_ND.device)
            )
        if samples is not None:
            rows, labels = samples
            _, logits_BTV, _ = self.run(rows)
            labels_BT = padded(labels, IGNORED, self.setup.device)
            losses["instruction"] = F.cross_entropy(
                logits_BTV[:, :-1].flatten(0, 1), labels_BT[:, 1:].flatten(), ignore_index=IGNORED
            )
        return losses

    def run(self, rows: Rows) -> tuple[Sequence[Tensor], Tensor, Tensor]:
        """All hidden states, logits in fp32, and the mask of a padded batch."""
        ids_BT = padded(rows, self.setup.tokenizer.pad_token_id, self.setup.device)
        mask_BT = padded([[1] * len(row) for row in rows], 0, self.setup.device)
        with autocast(self.setup):
            out = self.model(
                input_ids=ids_BT, attention_mask=mask_BT, use_cache=False, output_hidden_states=True
            )
        return out.hidden_states, out.logits.float(), mask_BT


def padded(rows: Rows, filler: int, device: torch.device) -> Tensor:
    """Rows of numbers as one tensor, as wide as the longest."""
    width = max(map(len, rows))
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows], device=device)


def drive(setup: Setup, gate: Gate) -> None:
    """One step whenever the gate opens; texts are tokenised beforehand."""
    trained = PublishedStep(setup)
    for step in range(setup.config.trainer.steps):
        pairs, samples = ids_of(setup, step)
        gate.open()
        gate.close(trained.step(pairs, samples))


def ids_of(setup: Setup, step: int) -> tuple[tuple[Rows, Rows] | None, tuple[Rows, Rows] | None]:
    """Token ids of both sides of the pairs, and of the instructions with their labels."""
    trainer, tokenizer, options = setup.config.trainer, setup.tokenizer, instruction_options(setup.config)
    pairs, samples = setup.texts.pairs(step), setup.texts.samples(step)
    return (
        pairs and tuple(sentence_ids(tokenizer, side, trainer.max_length) for side in pairs),
        supervised_ids(tokenizer, samples, options.max_length) if samples and options else None,
    )
