"""What several test files share: Pocket converted once, data folders, photo folders, the command line."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

from engine.settings import Settings
from engine.workspace import Workspace
from tests.helpers.command_line import run_here
from tests.helpers.data import real_photos, sources
from tests.helpers.tiny_models import BUILDERS
from tests.helpers.workspaces import give_model, load_pocket, make_settings, recalled

# A machine that does other work too is no defect: examples have no deadline of their own.
# Everything else stays: where CI is set, Hypothesis tries the same examples every time.
hypothesis.settings.register_profile("no-deadline", parent=hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("no-deadline")


_IN_MEMORY, _ENOUGH = Path("/dev/shm"), 8 * 1024**3


def pytest_configure() -> None:
    """Keep the tests' folders in memory where there is plenty: half of their time is waiting for a disk.

    SQLite asks the disk to hold what was written through a loss of power, which no test is about.
    """
    if _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free > _ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


@pytest.fixture(autouse=True)
def _no_gapscope_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own GAPSCOPE_ variables out of the tests."""
    for key in [key for key in os.environ if key.startswith("GAPSCOPE_")]:
        monkeypatch.delenv(key)


_counted = 0  # modules at the last freeze


@pytest.fixture(autouse=True)
def _imports_out_of_the_collector() -> None:
    """Let no garbage collection look again at what was imported since the last one.

    Every closing of a workspace collects, and a process that has imported all models has a million
    objects that stay for good.
    """
    global _counted
    if len(sys.modules) >= _counted + 100:
        gc.collect()
        gc.freeze()
        _counted = len(sys.modules)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return three processes for the suite, and none beside this one for a single file.

    Two of them have a browser and a server each, which fill two cores together with the third; with a fourth,
    pages were waited for so long that tests gave up.
    """
    paths = {argument.split("::")[0] for argument in config.args}
    if len(paths) == 1 and paths.pop().endswith(".py"):
        return 0
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # threads of more processes than cores only wait for each other
    return 3


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Run a file in one process, and all that starts a browser in two.

    Three browsers, each with its server, would be more than a small machine holds; one would be waited for
    alone. This is no `--dist loadgroup`, for which xdist 3.8 renames tests in a way that pytest 9.2 does
    not see.
    """
    from xdist.scheduler import LoadFileScheduling

    class TwoBrowsers(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _lane(nodeid) or super()._split_scope(nodeid)

    return TwoBrowsers(config, log)


# Each holds a browser for about as long as the other.
_LANES = {
    "browser 1": ("tests/browser/test_app", "tests/browser/test_map"),
    "browser 2": ("tests/browser/",),
}


def _lane(nodeid: str) -> str | None:
    return next((lane for lane, files in _LANES.items() if nodeid.startswith(files)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: both browsers, and Ray, which would be waited for alone."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    lanes = list(_LANES)
    if lane := _lane(nodeid):
        return lanes.index(lane)
    return len(lanes) if nodeid.startswith("tests/engine/ingest/ray/") else len(lanes) + 1


@pytest.fixture(scope="session")
def of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the processes of a run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def models_dir(of_the_run: Path) -> Path:
    """Return the folder that holds converted weights; TEST_MODELS_DIR keeps it between runs.

    The processes of a run share it, and the first one converts them.
    """
    data_dir = Path(os.environ.get("TEST_MODELS_DIR") or of_the_run / "pocket")
    data_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(data_dir / "converting.lock"):
        load_pocket(data_dir / "models")
    return data_dir / "models"


@pytest.fixture(scope="session")
def pocket(models_dir: Path):
    """Return Pocket for tests of what uses it, which embeds nothing twice; its own have the plain one."""
    return recalled(models_dir.resolve())


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path) -> Settings:
    """Return settings on a fresh data folder where Pocket need not be converted again."""
    return make_settings(tmp_path / "data", models_dir)


@pytest.fixture
def workspace(settings: Settings, pocket: object) -> Iterator[Workspace]:
    opened = Workspace.open(settings)
    yield give_model(opened, pocket)
    opened.close()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, pocket: object) -> Iterator[Workspace]:
    """Return a workspace with 24 real photographs in 'photos'; tests read it and never write."""
    folder = real_photos(tmp_path_factory.mktemp("real"), 24)
    settings = make_settings(tmp_path_factory.mktemp("shared"), models_dir)
    opened = give_model(Workspace.open(settings), pocket)
    opened.ingest("photos", sources([folder]))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def tiny(of_the_run: Path) -> Callable[[str], Path]:
    """Return a function that gives the folder of a tiny checkpoint (`tiny_models.BUILDERS`).

    The processes of a run share it, and the first one to ask makes it.
    """
    import torch

    torch.set_num_threads(1)  # for matrices this small a second thread is only waited for
    root = of_the_run / "tiny"
    root.mkdir(exist_ok=True)

    @cache
    def folder_of(name: str) -> Path:
        folder, made = root / name, root / f"{name}.made"
        with FileLock(root / f"{name}.lock"):
            if not made.exists():
                folder.mkdir(exist_ok=True)
                BUILDERS[name](folder)
                made.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def cli(pocket: object) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs a command of ours on a data folder, in this process."""
    return partial(run_here, pocket)
