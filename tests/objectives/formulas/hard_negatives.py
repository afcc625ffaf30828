import torch
from plain_formulas import centred_pairs
from torch import Tensor
from torch.nn.functional import cosine_similarity

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def hard_negatives(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Robinson et al. 2021, equation 4, with the estimate of Chuang et al. 2020, equation 8, row by row."""
    config = module.config.loss.objectives["hard_negatives"]
    source, target, same = centred_pairs(module, part)
    cosines = cosine_similarity(source[:, None], target[None], dim=-1)
    losses = []
    for similarities in (cosines, cosines.T):
        for i, row in enumerate(similarities):
            negatives = row[~same[i]]
            if config.false_margin is not None:
                true = negatives[negatives <= row[i] - config.false_margin]
                negatives = true if len(true) else negatives
            weights = torch.exp(config.hardness * negatives).detach()
            expected = (weights / weights.sum() * torch.exp(negatives / config.tau)).sum()
            positive, share = torch.exp(row[i] / config.tau), config.positive_share
            least = torch.exp(torch.tensor(-1 / config.tau, dtype=row.dtype))
            corrected = torch.maximum((expected - share * positive) / (1 - share), least)
            rest = 0 if config.decoupled else positive
            losses.append(-torch.log(positive / (rest + len(negatives) * corrected)))
    return torch.stack(losses).mean()
