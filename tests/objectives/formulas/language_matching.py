import torch
from plain_formulas import texts_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def language_matching(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """AlignX, arXiv 2509.24338: one concatenation of two different sentences at a time."""
    states = [
        module.backbone.model(ids[None], output_hidden_states=True).hidden_states[-1][0][content].mean(0)
        for ids, content in texts_alone(part)
    ]
    vectors = torch.stack(states)[part.texts.order]
    vectors = vectors / vectors.norm(dim=1, keepdim=True) * vectors.shape[1] ** 0.5
    languages = ["pivot"] * part.pairs + part.numbers["language"].tolist()
    own = module.own["language_matching"]
    matrix = torch.cat([own["first"].weight, own["second"].weight], dim=1)
    losses: dict[bool, list[Tensor]] = {True: [], False: []}
    for i, one in enumerate(vectors):
        for j, other in enumerate(vectors):
            if i == j:
                continue
            gate, up = (matrix @ torch.cat([one, other]) + own["first"].bias).chunk(2)
            logit = own["out"].weight[0] @ (gate * gate.sigmoid() * up) + own["out"].bias[0]
            same = languages[i] == languages[j]
            losses[same].append(-(logit if same else -logit).sigmoid().log())
    return (torch.stack(losses[True]).mean() + torch.stack(losses[False]).mean()) / 2
