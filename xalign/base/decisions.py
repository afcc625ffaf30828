"""Choices made for the user, each with its reason: logged, and kept in `environment.json`."""

import logging
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


@dataclass
class Decisions:
    """What was chosen automatically, in order."""

    made: list[dict[str, str]] = field(default_factory=list)
    quiet: bool = False
    """Not logged: another process has said the same."""

    def add(self, what: str, value: object, reason: str) -> None:
        if not self.quiet:
            log.info("%s: %s (%s)", what, value, reason)
        self.made.append({"what": what, "value": str(value), "reason": reason})
