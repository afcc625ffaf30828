"""Whether texts may be padded on the left, as generation does: tried out, because some families get it wrong.

Padding on the right, which all else does, is exact wherever no token sees those after it.
"""

import logging

import torch

from xalign.data.collate import Tokens
from xalign.models.backbone import Backbone, computing_in, evaluating

log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Relative difference of hidden states that float32 rounding makes; shifted positions make one of about 1."""

LENGTHS = 9, 5


def pads_left_exactly(backbone: Backbone) -> bool:
    """Whether hidden states of a text with padding before it are those of the text alone."""
    longest, length = LENGTHS
    ids_BT = backbone.probe_ids(2, longest)
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[1, : longest - length] = 0
    with evaluating(backbone), computing_in(backbone, torch.float32):
        together_TD = backbone.hidden_states(Tokens(ids_BT, mask_BT, mask_BT), backbone.depth)[1, -length:]
        own_1T = ids_BT[1:, -length:]
        ones_1T = torch.ones_like(own_1T)
        alone_TD = backbone.hidden_states(Tokens(own_1T, ones_1T, ones_1T), backbone.depth)[0]
    difference = float((together_TD - alone_TD).norm() / alone_TD.norm())
    if not difference <= TOLERANCE:
        log.info(
            "texts of one length are continued together: padding would change states by %.2g", difference
        )
        return False
    return True
