"""Upper case: some sources are shouted."""

from dataclasses import replace

from xalign.data.transforms.base import Transform


class Shouting(Transform):
    """Puts the source of a pair in upper case; `share` says how often."""

    def pair(self, pair, rng):
        return replace(pair, source=pair.source.upper())
