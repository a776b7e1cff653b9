"""A collection's features: every picture with its own caption, kept until the collection changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import TowerError
from engine.models.lender import Models
from engine.models.pocket.features import PocketFeatures
from engine.progress import CancelledError, Hooks
from engine.towers import features as module
from engine.towers.features import pair_features
from engine.workspace import Workspace
from tests.helpers.data import generated_photos, jpeg, sources, write_captions
from tests.helpers.vector_files import vector_file
from tests.helpers.workspaces import give_model, make_settings

COUNT = 14


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, pocket) -> Iterator[Workspace]:
    settings = make_settings(tmp_path_factory.mktemp("features"), models_dir)
    opened = give_model(Workspace.open(settings), pocket)
    opened.ingest("mine", sources([generated_photos(tmp_path_factory.mktemp("photos"), COUNT)]))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def network(models_dir: Path) -> PocketFeatures:
    return PocketFeatures.load(models_dir, 2, lambda stage: None)


@pytest.fixture(autouse=True)
def loads(network: PocketFeatures, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lend one copy of the networks; returns a list that grows with every time somebody asks."""
    seen: list[int] = []
    monkeypatch.setattr(Models, "features", lambda self, on_stage: seen.append(1) or network)
    return seen


def made(workspace: Workspace, collection: str = "mine", **hooks):
    return pair_features(workspace.folder, workspace.models, collection, Hooks(**hooks))


def test_a_row_is_of_a_picture_and_its_own_caption(filled, network):
    found = made(filled)
    assert (len(found), found.pairs, found.unread) == (COUNT, COUNT, 0)
    words = [f"picture number {n}" for n in range(COUNT)]  # by the names 0000.jpg, 0001.jpg …
    assert found.texts == pytest.approx(network.encode("text", words), abs=1e-6)
    items = sorted(filled.store.all_items("mine", "image"), key=lambda item: item.name)
    pictures = [network.prepare("image", filled.folder.open_item(item, side_px=320)) for item in items]
    assert found.images == pytest.approx(network.encode("image", pictures), abs=1e-4)


def test_they_are_made_once_until_the_collection_changes(filled, loads, tmp_path):
    first = made(filled)
    before = len(loads)
    assert (made(filled).images == first.images).all() and len(loads) == before
    (tmp_path / "new.jpg").write_bytes(jpeg(999))
    write_captions(tmp_path, [{"file_name": "new.jpg", "caption": "one more"}])
    filled.ingest("mine", sources([tmp_path]))
    grown = made(filled)
    assert len(grown) == COUNT + 1 and len(loads) == before + 1
    [new] = [item for item in filled.store.all_items("mine", "image") if item.name == "new.jpg"]
    filled.delete_items("mine", [new.id])
    assert not list((filled.settings.data_dir / "features").iterdir())  # nothing of it stays on the disk
    assert len(made(filled)) == COUNT and len(loads) == before + 2
    [path] = (filled.settings.data_dir / "features").iterdir()
    path.write_bytes(path.read_bytes()[:900])
    assert (made(filled).images == first.images).all() and len(loads) == before + 3


def test_of_many_pairs_some_are_drawn_always_the_same(monkeypatch):
    monkeypatch.setattr(module, "MAX_PAIRS", 5)
    pairs = [(f"i{n}", f"t{n}") for n in range(20)]
    drawn = module._drawn(pairs)
    assert len(drawn) == 5 and drawn == sorted(drawn, key=pairs.index) and drawn == module._drawn(pairs)
    assert module._drawn(pairs[:4]) == pairs[:4]


def test_a_collection_without_pairs_or_without_files_says_so(filled, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    filled.ingest("bare", sources([tmp_path / "a.jpg"]))
    with pytest.raises(TowerError) as caught:
        made(filled, "bare")
    assert "'bare' has no picture with a caption of its own" in str(caught.value)
    path = tmp_path / "x.npz"
    kinds, pairs = ["image", "text"] * 3, [f"p{n // 2}" for n in range(6)]
    path.write_bytes(vector_file(6, modality=kinds, pair=pairs).getvalue())
    filled.import_vectors("given", path)
    with pytest.raises(TowerError) as caught:
        made(filled, "given")
    assert "None of the 3 pairs" in str(caught.value) and "imported without" in str(caught.value)


def test_a_file_that_is_gone_costs_its_own_pair_alone(filled, tmp_path):
    filled.ingest("torn", sources([generated_photos(tmp_path, 4, seed=5)]))
    item = next(iter(filled.store.all_items("torn", "image")))
    filled.library.media_path(item.media, item.mime).unlink()
    found = made(filled, "torn")
    assert (len(found), found.pairs, found.unread) == (3, 4, 1)
    assert item.name in found.reason


def test_a_cancel_keeps_nothing(filled, tmp_path):
    filled.ingest("later", sources([generated_photos(tmp_path, 2, seed=7)]))
    before = set((filled.settings.data_dir / "features").iterdir())
    with pytest.raises(CancelledError):
        made(filled, "later", cancelled=lambda: True)
    assert set((filled.settings.data_dir / "features").iterdir()) == before
    assert np.isfinite(made(filled, "later").images).all()
