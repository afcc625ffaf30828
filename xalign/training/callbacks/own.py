"""Callbacks by class name: the config group `callbacks`."""

import pytorch_lightning as pl
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from xalign.base.errors import ConfigError
from xalign.config.schema import Config


def own_callbacks(config: Config) -> list[pl.Callback]:
    """The callbacks, made anew.

    Raises:
        ConfigError: one cannot be made, or is no callback of Lightning's.
    """
    made = []
    for name, options in config.callbacks.items():
        try:
            callback = instantiate(options)
        except InstantiationException as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise ConfigError(
                [f"callbacks.{name}: {options['_target_']} cannot be made: {reason}"]
            ) from error
        if not isinstance(callback, pl.Callback):
            raise ConfigError([f"callbacks.{name}._target_={options['_target_']}: is no Lightning callback"])
        made.append(callback)
    return made
