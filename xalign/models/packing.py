"""Whether texts may share rows in a model: tried out, because some families get it silently wrong."""

import logging

import torch

from xalign.data.collate import Arrangement, Tokens, arrange
from xalign.models.backbone import Backbone, computing_in, evaluating

log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Relative difference of hidden states that float32 rounding makes; a wrong mask makes one of about 1."""

LENGTHS = (9, 24, 5, 26)


def packs_exactly(backbone: Backbone) -> bool:
    """Whether hidden states of packed texts are those of each text alone; says so where they are not."""
    lengths = [min(length, backbone.context or length) for length in LENGTHS]
    rows = [row.tolist() for row in backbone.probe_ids(1, sum(lengths))[0].split(lengths)]
    packed = arrange(backbone.tokenizer, rows, arrangement=Arrangement(packed=True)).to(backbone.device)
    (tokens,) = packed.buckets
    assert tokens.texts is not None
    with evaluating(backbone), computing_in(backbone, torch.float32):
        try:
            together = backbone.hidden_states(tokens, backbone.depth)[tokens.texts >= 0]
        except Exception as error:  # a model's code can refuse in any way it likes
            log.info("texts do not share rows: the model refuses (%s)", str(error).splitlines()[0])
            return False
        alone = []
        for number in torch.argsort(packed.order).tolist():
            ids = torch.tensor([rows[number]], device=backbone.device)
            alone.append(backbone.hidden_states(Tokens(ids, ids.new_ones(ids.shape), ids), backbone.depth)[0])
    wanted = torch.cat(alone)
    difference = float((together - wanted).norm() / wanted.norm())
    if not difference <= TOLERANCE:
        log.info("texts do not share rows: hidden states would differ by %.2g of their size", difference)
        return False
    return True
