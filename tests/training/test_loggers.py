"""What goes to loggers beside metrics."""

from pathlib import Path

from matplotlib.figure import Figure
from training_helpers import small_config

from xalign.training.loggers import log_pictures
from xalign.workspace.folder import RunFolder


def test_pictures_go_into_the_runs_own_run_on_wandb(tmp_path: Path) -> None:
    picture = tmp_path / "analysis_cka.png"
    Figure(figsize=(1, 1)).savefig(picture)
    for logger, count in (("csv", 0), ("wandb", 1)):
        folder = RunFolder(tmp_path / logger)
        folder.update_environment(wandb_id="abc123")
        log_pictures(small_config(f"logger={logger}"), folder, [picture])
        found = list(folder.path.glob("wandb/offline-run-*-abc123/files/media/images/pictures/analysis_cka*"))
        assert len(found) == count
