import torch
from plain_formulas import texts_alone
from torch import Tensor
from torch.nn.functional import cosine_similarity

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def multiway(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Khosla et al. 2020, equation 2, one anchor and one positive at a time."""
    states = [
        module.backbone.model(ids[None], output_hidden_states=True).hidden_states[2][0][content].mean(0)
        for ids, content in texts_alone(part)
    ]
    vectors = torch.stack(states)[part.texts.order]
    languages = torch.cat([part.numbers[f"language {side}"] for side in range(3)])
    texts = torch.cat([part.numbers[f"text {side}"] for side in range(3)]).tolist()
    rows = part.numbers["row"].tolist() * 3
    means = {int(code): vectors[languages == code].mean(0) for code in languages}
    vectors = vectors - torch.stack([means[int(code)] for code in languages])
    losses = []
    for i in range(len(rows)):
        others = [j for j in range(len(rows)) if j != i]
        family = {texts[j] for j in range(len(rows)) if rows[j] == rows[i]}
        logits = {j: cosine_similarity(vectors[i], vectors[j], dim=0) / 0.5 for j in others}
        kept = [j for j in others if rows[j] == rows[i] or texts[j] not in family]
        total = torch.logsumexp(torch.stack([logits[j] for j in kept]), 0)
        losses.append(-torch.stack([logits[j] - total for j in others if rows[j] == rows[i]]).mean())
    return torch.stack(losses).mean()
