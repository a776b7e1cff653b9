"""What several test files share: Pocket converted once, data folders, photo folders, the command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from engine.models.catalog import POCKET
from engine.models.pocket.embedder import Pocket, PocketWeights
from engine.settings import PROJECT_DIR, Settings, load_settings
from engine.types import Item, Provenance, VectorTable
from engine.workspace import Workspace
from tests.helpers.tiny_models import BUILDERS

# A machine that does other work too is no defect: examples have no deadline of their own.
# Everything else stays: where CI is set, Hypothesis tries the same examples every time.
hypothesis.settings.register_profile("no-deadline", parent=hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("no-deadline")

SAMPLES = PROJECT_DIR / "sample_data"
ROOT = PROJECT_DIR


@pytest.fixture(autouse=True)
def _no_gapscope_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own GAPSCOPE_ variables out of the tests."""
    for key in [key for key in os.environ if key.startswith("GAPSCOPE_")]:
        monkeypatch.delenv(key)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return two processes for the suite, and none beside this one for a single file."""
    paths = {argument.split("::")[0] for argument in config.args}
    return 0 if len(paths) == 1 and paths.pop().endswith(".py") else 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Run a file in one process, and all that starts a browser or Ray in the same one.

    Two browsers, each with its server, would be more than a small machine holds. This is no `--dist
    loadgroup`, for which xdist 3.8 renames tests in a way that pytest 9.2 does not see.
    """
    from xdist.scheduler import LoadFileScheduling

    class OneBrowser(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "heavy" if _is_heavy(nodeid) else super()._split_scope(nodeid)

    return OneBrowser(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: begun last, one process would wait for it alone."""
    items.sort(key=lambda item: not _is_heavy(item.nodeid))


def _is_heavy(nodeid: str) -> bool:
    return nodeid.startswith(("tests/browser/", "tests/engine/ingest/ray/"))


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that holds converted weights; TEST_MODELS_DIR keeps it between runs.

    The processes of a run share it, and the first one converts them.
    """
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    data_dir = Path(os.environ.get("TEST_MODELS_DIR") or root / "pocket")
    data_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(data_dir / "converting.lock"):
        load_pocket(data_dir / "models")
    return data_dir / "models"


@pytest.fixture(scope="session")
def pocket(models_dir: Path):
    return load_pocket(models_dir)


def load_pocket(models_dir: Path) -> Pocket:
    return Pocket.load(POCKET, models_dir, 2, lambda stage: None)


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path) -> Settings:
    """Return settings on a fresh data folder where Pocket need not be converted again."""
    return make_settings(tmp_path / "data", models_dir)


def make_settings(data_dir: Path, models_dir: Path, **overrides: object) -> Settings:
    data_dir.mkdir(parents=True, exist_ok=True)
    if not (data_dir / "models").exists():
        (data_dir / "models").symlink_to(models_dir)
    return load_settings(**{"data_dir": data_dir, "threads": 2, "min_free_disk_mb": 1, **overrides})


def give_model(workspace: Workspace, pocket: object) -> Workspace:
    """Let a workspace use the session's Pocket instead of loading its own."""
    load = workspace.models._load

    def given(choice, device, on_stage):
        return PocketWeights(pocket) if choice.id == "pocket" else load(choice, device, on_stage)

    workspace.models._load = given
    return workspace


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
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the folder of a tiny checkpoint (`tiny_models.BUILDERS`), made once."""
    import torch

    torch.set_num_threads(1)  # for matrices this small a second thread is only waited for
    root, folders = tmp_path_factory.mktemp("tiny"), {}

    def folder_of(name: str) -> Path:
        if name not in folders:
            (root / name).mkdir()
            folders[name] = BUILDERS[name](root / name)
        return folders[name]

    return folder_of


def sources(paths: list[Path]):
    from engine.media.sources import find_sources

    return find_sources(paths, max_file_bytes=50_000_000)


def sample_rows() -> list[dict]:
    return [json.loads(line) for line in (SAMPLES / "metadata.jsonl").read_text("utf-8").splitlines()]


def real_photos(folder: Path, count: int) -> Path:
    """Copy every n-th sample photograph, with its caption and labels, into a folder."""
    rows = sample_rows()
    rows = [row for row in rows[:: max(1, len(rows) // count)] if (SAMPLES / row["file_name"]).exists()]
    for row in rows[:count]:
        row["file_name"] = Path(row["file_name"]).name
        (folder / row["file_name"]).write_bytes((SAMPLES / "photos" / row["file_name"]).read_bytes())
    write_captions(folder, rows[:count])
    return folder


def generated_photos(folder: Path, count: int, *, seed: int = 0, side: int = 96) -> Path:
    """Write small distinct JPEGs 0000.jpg… with the captions 'picture number 0'… into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:04}.jpg").write_bytes(jpeg(seed * 100_000 + number, side))
    rows = [{"file_name": f"{n:04}.jpg", "caption": f"picture number {n}"} for n in range(count)]
    write_captions(folder, rows)
    return folder


def jpeg(seed: int, side: int = 96) -> bytes:
    """Return a JPEG of smooth random colours; every seed gives other bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=80)
    return out.getvalue()


def write_captions(folder: Path, rows: list[dict]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def unit_table(count: int, dim: int = 8, *, seed: int = 0, start: int = 0) -> VectorTable:
    """Return random unit vectors with ids of 64 hexadecimal digits."""
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return VectorTable(tuple(f"{start + row:064x}" for row in range(count)), vectors)


def plain_items(table: VectorTable, modality: str = "image", **fields: object) -> list[Item]:
    mime = "text/plain" if modality == "text" else "image/jpeg"
    return [Item(id_, modality, f"{row}.jpg", mime, id_, **fields) for row, id_ in enumerate(table.ids)]


MADE_BY = Provenance("tester", "1", 8)


def cli_env(data_dir: Path, **extra: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GAPSCOPE_")}
    return {
        **clean,
        "GAPSCOPE_DATA_DIR": str(data_dir),
        "GAPSCOPE_THREADS": "2",
        "GAPSCOPE_MIN_FREE_DISK_MB": "1",
        "GAPSCOPE_WARM_UP": "false",  # half a minute of compiling in each of many servers
        **extra,
    }


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tell what its page shows where a browser test fails: a machine far away keeps nothing else."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.when == "call" and report.failed and hasattr(page, "inner_text"):
        try:
            report.sections.append((f"page {page.url}", page.inner_text("body", timeout=5_000)))
        except Exception as error:  # noqa: BLE001 - the page may be what is broken
            report.sections.append(("page", f"cannot be read: {error}"))
    return report


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Start a Chromium for the browser tests of a file."""
    from tests.helpers.chromium import chromium

    with chromium(tmp_path_factory.mktemp("profile")) as context:
        yield context


@pytest.fixture
def page(browser: object, server: str) -> Iterator[object]:
    """Open a tab for a browser test, once the `server` of its file answers."""
    from tests.helpers.chromium import tab_of

    with tab_of(browser) as tab:
        yield tab


@pytest.fixture(scope="session")
def cli() -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs `python -m engine ...` on a data folder, as a process of its own."""

    def run(data_dir: Path, *arguments: object, **env: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "engine", *map(str, arguments)],
            cwd=ROOT,
            env=cli_env(data_dir, **env),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=280,
        )

    return run
