"""Opens the workspace in the background, so that the first paint of a page waits for nothing heavy.

Then ingests the samples, trains two towers on them and, while nobody waits for anything else, loads Pocket
and compiles UMAP.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from engine.background import UNEXPECTED, Background, Work
from engine.progress import Progress

if TYPE_CHECKING:
    from engine.jobs.queue import Jobs
    from engine.workspace import Workspace


class Boot:
    """The opening of one data folder, and what came of it; `workspace` and `jobs` are None until then."""

    def __init__(self) -> None:
        self.workspace: Workspace | None = None
        self.jobs: Jobs | None = None
        self._background = Background()
        self._opening = Work("Open the data folder")

    def start(self) -> Boot:
        """Begin to open it; settings that are wrong become its error."""
        self._background.begin(self._opening, self._open)
        return self

    @property
    def stage(self) -> str:
        """Return in words what is being done."""
        return self._opening.progress.stage

    @property
    def error(self) -> str:
        """Return why it failed; empty where it did not, or has not yet."""
        error = self._opening.error
        return "Gapscope could not start; the server's log says why." if error == UNEXPECTED else error

    @property
    def ended(self) -> bool:
        """Tell whether it is open, or has failed."""
        return self._opening.ended.is_set()

    def wait(self, seconds: float) -> None:
        """Wait until it is open, or has failed, or the time is up."""
        self._opening.ended.wait(seconds)

    def _open(self, opening: Work) -> None:
        def note(stage: str) -> None:
            opening.hear(Progress(stage, 0, 0))

        note("Starting")
        # Whole before anything is drawn: plotly and scikit-learn use what they find of it in sys.modules, and
        # fail on half of it while another thread imports it.
        import pandas  # noqa: F401

        from engine.jobs.queue import Jobs  # here, in the background, as these take a second to import
        from engine.settings import load_settings
        from engine.workspace import Workspace

        workspace = Workspace.open(load_settings(), note)
        try:
            jobs = Jobs(workspace)
            jobs.ingest_samples()
            jobs.train_sample_towers()
        except BaseException:
            workspace.close()  # it holds the lock that the next try needs
            raise
        self.workspace, self.jobs = workspace, jobs
        note("Ready")
        self._background.begin(Work("Warm up"), lambda work: _warm_up(workspace, jobs))


def _warm_up(workspace: Workspace, jobs: Jobs) -> None:
    """Load Pocket and compile UMAP while nobody waits for anything else."""
    try:
        if jobs.active() is None:  # a job loads the model itself, and shows how far that is
            with workspace.models.embedder():
                pass
    finally:  # maps of imported vectors need no model
        if workspace.settings.warm_up:
            from engine.maps.projection import warm_up

            while jobs.active():
                time.sleep(1)
            warm_up(max((info.total for info in workspace.store.collections()), default=0))
