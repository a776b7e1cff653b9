"""An ingest killed at any moment loses nothing that matters: running it again completes it exactly."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.media.decode import caption_id, probe
from engine.workspace import Workspace
from tests.helpers.data import ROOT, generated_photos, sources
from tests.helpers.killed import child, ingest
from tests.helpers.workspaces import cli_env, give_model, make_settings

pytestmark = pytest.mark.slow
PHOTOS = 40  # in batches of 8

MOMENTS = [
    ("opened", 0.0),
    ("before put", 0.0),
    ("after put", 0.0),
    ("before upsert", 0.01),
    ("after upsert", 0.0),
    ("progress 24", 0.0),
    ("progress 32", 0.05),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated_photos(tmp_path_factory.mktemp("kill"), PHOTOS)


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, set[str]]:
    probes = [probe(one) for one in sources([folder]).sources]
    images = {probed.sha256 for probed in probes}
    texts = {caption_id(probed.sha256, probed.source.captions[0]) for probed in probes}
    return {"image": images, "text": texts}


def killed_ingest(data_dir: Path, folder: Path, line: str, delay: float) -> None:
    """Start an ingest and SIGKILL it when it says this line."""
    smaller = {"GAPSCOPE_BATCH_FILES": "8", "GAPSCOPE_STORE_BATCH_ROWS": "4"}
    with child(ingest, data_dir, folder, **smaller) as running:
        assert line in running.said, f"the ingest never said {line!r}"
        time.sleep(delay)
        running.kill()
        assert running.ended() == -signal.SIGKILL


def check(workspace: Workspace, expected: dict[str, set[str]]) -> None:
    """Prove that everything is there once, in ledger and store, and findable by its own vector."""
    for modality, ids in expected.items():
        items = [item.id for item in workspace.store.all_items("photos", modality)]
        assert sorted(items) == sorted(ids)
        table = workspace.store.vectors("photos", modality)
        assert set(table.ids) == ids
        _, kept = workspace.ledger.get("photos", modality, ids)
        assert set(kept.ids) == ids
        for id_, vector in zip(kept.ids, kept.vectors, strict=True):
            rows = workspace.store.query("photos", modality, vector, 3)
            assert rows[0][1] > 0.999 and id_ in {item.id for item, _ in rows}
    for item in workspace.store.all_items("photos", "image"):
        assert workspace.library.media_path(item.media, item.mime).stat().st_size == item.size_bytes
        assert workspace.library.thumbnail_path(item.media).exists()


@pytest.mark.parametrize(("line", "delay"), MOMENTS)
def test_killed_and_run_again(tmp_path, models_dir, pocket, folder, expected, line, delay):
    settings = make_settings(tmp_path / "data", models_dir)
    killed_ingest(settings.data_dir, folder, line, delay)
    workspace = give_model(Workspace.open(settings), pocket)
    report = workspace.ingest("photos", sources([folder]))
    assert report.failed == () and report.stored + report.skipped == 2 * PHOTOS
    check(workspace, expected)
    assert workspace.ingest("photos", sources([folder])).stored == 0
    workspace.close()


def test_killed_again_and_again(tmp_path, models_dir, pocket, folder, expected):
    settings = make_settings(tmp_path / "data", models_dir)
    for line in ("after put", "progress 16", "progress 32"):
        killed_ingest(settings.data_dir, folder, line, 0.02)
    workspace = give_model(Workspace.open(settings), pocket)
    workspace.ingest("photos", sources([folder]))
    check(workspace, expected)
    workspace.close()


def test_killed_between_ledger_and_store_embeds_nothing_twice(tmp_path, models_dir, pocket, folder):
    settings = make_settings(tmp_path / "data", models_dir)
    killed_ingest(settings.data_dir, folder, "after put", 0.0)
    workspace = Workspace.open(settings)
    recorded = {key[1]: count for key, count in workspace.ledger.counts().items()}
    assert recorded.get("image") and workspace.store.info("photos").counts == recorded
    encoded: list[int] = []

    class Counting:
        spec, image_side_px, prepare = pocket.spec, pocket.image_side_px, staticmethod(pocket.prepare)
        modalities, provenance, spread = pocket.modalities, pocket.provenance, staticmethod(pocket.spread)
        encode_query = staticmethod(pocket.encode_query)

        def encode_document(self, modality, prepared):
            encoded.append(len(prepared))
            return pocket.encode_document(modality, prepared)

    give_model(workspace, Counting()).ingest("photos", sources([folder]))
    assert sum(encoded) == 2 * PHOTOS - sum(recorded.values())
    workspace.close()


def test_killed_while_opening_rebuilds_from_the_ledger(tmp_path, models_dir, pocket, folder, expected):
    """A process killed while it opens the store leaves its marker behind."""
    settings = make_settings(tmp_path / "data", models_dir)
    workspace = give_model(Workspace.open(settings), pocket)
    workspace.ingest("photos", sources([folder]))
    workspace.close()
    code = (
        "import os, signal\nfrom engine.settings import load_settings\nfrom engine.storage import chroma\n"
        "chroma.open_folder = lambda folder: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from engine.workspace import Workspace\nWorkspace.open(load_settings())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=cli_env(settings.data_dir))
    assert done.returncode == -signal.SIGKILL and (settings.data_dir / "store.opening").exists()
    workspace = Workspace.open(settings)
    check(workspace, expected)
    workspace.close()
