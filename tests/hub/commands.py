"""Commands of the project as a user gives them, each in a fork of one process that has imported everything:
a fresh state without ten seconds of imports. Started by `hub_commands.py` with the hub's environment.

A line of JSON in (`module`, `arguments`, `environment`, `folder`), a line of JSON out (`code`).
"""

import json
import os
import runpy
import sys
import traceback
from pathlib import Path

import datasets
import huggingface_hub
import peft  # noqa: F401
import pytorch_lightning  # noqa: F401
import transformers  # noqa: F401

import xalign.runs.experiment
import xalign.runs.measurement  # noqa: F401


def carry_out(order: dict[str, object]) -> int:
    """In the child: what the module's main gives."""
    folder = Path(str(order["folder"]))
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(order["environment"])  # type: ignore[call-overload]
    if os.environ.get("HF_HUB_OFFLINE") == "1":  # read when they are imported
        datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
    os.chdir(folder)
    sys.argv = [str(order["module"]), *order["arguments"]]  # type: ignore[misc]
    try:
        runpy.run_module(str(order["module"]), run_name="__main__")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = carry_out(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"code": code}), flush=True)


if __name__ == "__main__":
    main()
