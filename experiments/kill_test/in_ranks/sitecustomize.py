"""Found by Python at the start of a rank's process (`killing._run` puts this folder on its path)."""

import os

if os.environ.get("RANK") == os.environ.get("KILL_RANK", "none"):
    from killing import kill_at

    kill_at(os.environ["KILL_WHERE"], int(os.environ["KILL_COUNT"]), os.environ["KILL_FOLDER"])
