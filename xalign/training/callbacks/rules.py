"""What the config group `callbacks` must say. Imports nothing heavy."""

from collections.abc import Iterator
from importlib.util import find_spec

from xalign.config.schema import Config


def rules(config: Config) -> Iterator[str]:
    """What can be said of them without importing anything of theirs."""
    for name, options in config.callbacks.items():
        target = options.get("_target_")
        if not isinstance(target, str) or "." not in target:
            yield f"callbacks.{name}._target_: required, but not given (a class: package.module.Class)"
            continue
        package = target.split(".")[0]
        if find_spec(package) is None:
            yield f"callbacks.{name}._target_={target}: there is no package '{package}'"
