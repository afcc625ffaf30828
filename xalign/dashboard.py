"""`python -m xalign.dashboard [project=NAME] [entity=NAME] [output=FILE.json]`: the workspace on W&B.

Without a key, or with `output`, it is written as JSON and nothing is sent.
"""

import os
import sys
from pathlib import Path

from xalign.base.errors import ConfigError, did_you_mean, user_facing

KEYS = {"project": "xalign", "entity": "", "output": ""}


def given(arguments: list[str]) -> dict[str, str]:
    """The keys of a command line, with defaults.

    Raises:
        ConfigError: a word is no key, or none that there is.
    """
    problems, values = [], dict(KEYS)
    for word in arguments:
        key, found, value = word.partition("=")
        if not found or key not in KEYS:
            problems.append(f"{word}: unknown{did_you_mean(key, KEYS)} (allowed: {', '.join(KEYS)})")
        else:
            values[key] = value
    if problems:
        raise ConfigError(problems)
    return values


@user_facing
def main() -> None:
    """Entry point of `python -m xalign.dashboard`."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return
    values = given(sys.argv[1:])
    from xalign.tracking.wandb_run import has_key
    from xalign.tracking.workspace import save, workspace, write

    made = workspace(values["entity"] or os.environ.get("WANDB_ENTITY", ""), values["project"])
    if values["output"] or not has_key():
        output = Path(values["output"] or "outputs/dashboard.json")
        write(made, output)
        print(f"written: {output}" + ("" if values["output"] else " (no W&B key is set: nothing is sent)"))
        return
    print(f"saved: {save(made)}")


if __name__ == "__main__":
    main()
