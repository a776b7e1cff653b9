"""Towers of real photographs: the table of the prototype, and what is kept works as any other collection."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.analysis.two_towers import TowerSettings, Training
from engine.errors import CollectionError, ModelOptionError, TowerError, WeightsError
from engine.evaluation.questions import Direction
from engine.evaluation.results import Plan
from engine.models.base import ModelChoice
from engine.models.pocket.features import PocketFeatures
from engine.progress import CancelledError
from engine.search.search import Query
from engine.types import MODALITIES
from engine.workspace import Workspace
from tests.helpers.data import SAMPLES, real_photos, sample_rows, sources
from tests.helpers.workspaces import give_model, listed, make_settings

COUNT = 16
SETTINGS = TowerSettings(held_out=0.0, steps=40)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, pocket) -> Iterator[Workspace]:
    """Return a workspace with real photographs in 'photos' and, by towers trained on them, in 'gap'."""
    settings = make_settings(tmp_path_factory.mktemp("towers"), models_dir)
    workspace = give_model(Workspace.open(settings), pocket)
    workspace.ingest("photos", sources([real_photos(tmp_path_factory.mktemp("real"), COUNT)]))
    trained = workspace.train_towers("photos", SETTINGS)
    report = workspace.keep_towers(trained, "gap")
    assert (report.stored, report.failed, report.model) == (2 * COUNT, (), "towers:gap")
    yield workspace
    workspace.close()


def test_what_is_kept_are_the_same_items_by_another_model(opened):
    for modality in ("image", "text"):
        kept, source = (
            sorted(listed(opened, modality, name), key=lambda one: one.id) for name in ("gap", "photos")
        )
        assert kept == source and len(kept) == COUNT
    made_by = opened.store.made_by("gap")
    assert (made_by.model, made_by.dim) == ("towers:gap", 64)
    assert made_by == opened.ledger.provenance("gap")
    for said in ("16 pairs of 'photos'", "temperature 0.01", "seed 0", "40 steps", "cone features of pocket"):
        assert said in made_by.training
    assert opened.ledger.provenance("gap").training == made_by.training


def test_its_vectors_are_those_of_the_training(opened):
    heard = []
    trained = opened.train_towers("photos", SETTINGS, every=20, on_snapshot=heard.append)
    assert [one.step for one in trained.snapshots] == [0, 20, 40] and heard == list(trained.snapshots)
    assert trained.heads.revision == opened.store.made_by("gap").revision
    tables = [opened.store.vectors("gap", modality) for modality in ("image", "text")]
    x, y = (table.vectors.astype(np.float64) for table in tables)
    assert np.linalg.norm(x.mean(0) - y.mean(0)) == pytest.approx(trained.snapshots[-1].l2m, abs=1e-4)


def test_words_and_pictures_can_be_asked_in_it(opened):
    right = 0
    for text in listed(opened, "text", "gap"):
        trace = opened.search(Query(text=text.caption), collection="gap", k=2 * COUNT)
        [best, *_] = [hit for hit in trace.results if hit.item.modality == "image"]
        right += best.item.pair == text.pair
    assert right >= 0.9 * COUNT  # it was trained on these very pairs
    picture = Image.open(SAMPLES / sample_rows()[0]["file_name"]).convert("RGB")
    [own, *_] = opened.search(Query(image=picture), collection="gap").results
    assert own.item.modality == "image" and own.score > 0.99


def test_it_is_measured_mapped_and_embedded_anew_like_any_other(opened):
    plan = Plan(collection="gap", truth="pairs", direction=Direction.of("text-image"), ks=(1,))
    found = opened.evaluate(plan)
    assert found.made_by.model == "towers:gap" and found.summary.before["hit@1"].mean >= 0.9
    assert opened.reembed("gap", ModelChoice("towers:gap"), into="again").stored == 2 * COUNT
    for modality in ("image", "text"):
        one, other = (opened.store.vectors(name, modality) for name in ("gap", "again"))
        assert other.take(one.ids).vectors == pytest.approx(one.vectors, abs=1e-5)
    with opened.models.embedder(ModelChoice("towers:gap")) as model:
        assert model.modalities == ("text", "image") and set(model.modalities) < set(MODALITIES)
        assert model.encode_document("image", []).shape == (0, 64)
    with (
        pytest.raises(ModelOptionError),
        opened.models.embedder(ModelChoice("towers:gap", dim=32)),
    ):
        pass


def test_a_name_that_is_taken_is_refused_before_anything_is_trained(opened):
    for into in ("photos", "gap"):
        with pytest.raises(CollectionError):
            opened.check_towers_target("photos", into)
    with pytest.raises(TowerError):
        opened.train_towers("photos", TowerSettings(held_out=0.9))
    with pytest.raises(CancelledError):
        opened.train_towers("photos", SETTINGS, cancelled=lambda: True)


def test_a_deleted_folder_of_heads_is_named(opened, settings, models_dir, pocket):
    shutil.copytree(opened.settings.data_dir / "towers", settings.data_dir / "towers")
    other = give_model(Workspace.open(settings), pocket)
    try:
        with other.models.embedder(ModelChoice("towers:gap")) as model:
            assert model.spec.id == "towers:gap"
        shutil.rmtree(settings.data_dir / "towers" / "gap")
        other.models.loaded.unload(
            ModelChoice("towers:gap", revision=model.provenance.revision, dtype="float32")
        )
        with pytest.raises(WeightsError) as caught, other.models.embedder(ModelChoice("towers:gap")):
            pass
        assert "towers:gap" in str(caught.value) and "Train them again" in str(caught.value)
    finally:
        other.close()


# The prototype of it, measured on the 195 sample photographs with their captions, 150 of them trained.
# start, temperature: L2M, paired, unpaired, img-img, txt-txt, cross-nn, R@1, held-out R@1
TABLE = {
    ("cone", 0.01): (0.823, 0.50, 0.12, 0.58, 0.33, 0.02, 1.00, 0.16),
    ("cone", 0.03): (0.330, 0.74, 0.04, 0.08, 0.11, 0.27, 1.00, 0.09),
    ("cone", 0.07): (0.015, 0.95, -0.01, 0.00, 0.00, 0.53, 1.00, 0.11),
    ("cone", 0.2): (0.000, 1.00, -0.01, 0.00, 0.00, 0.53, 1.00, 0.07),
    ("centred", 0.01): (0.046, 0.65, 0.00, 0.00, 0.00, 0.34, 1.00, 0.16),
    ("centred", 0.07): (0.025, 0.95, -0.01, 0.00, 0.00, 0.52, 1.00, 0.11),
}
# The prototype's img-img and txt-txt had the diagonal in them, which is (1 - mean) / 150 more than ours.
TOLERANCE = (0.002, 0.006, 0.006, 0.006, 0.006, 0.01, 0.01, 0.03)  # held out: one pair of 45 is .022
# Of mismatched pairs R@1 and the paired cosine agree. How wide the gap is depends on which pairs are drawn:
# at .01 eleven draws gave L2M .82 to .89 with a fifth, .78 to .94 with half of them, around the prototype's.
MISMATCHED = {
    (0.01, 0.2): (0.44, 0.81, 0.7, 1.0),
    (0.01, 0.5): (0.29, 0.50, 0.7, 1.0),
    (0.07, 0.2): (0.78, 0.80, 0.0, 0.03),
    (0.07, 0.5): (0.50, 0.50, 0.0, 0.03),
}


@pytest.fixture(scope="module")
def sample_features(models_dir) -> tuple[np.ndarray, np.ndarray]:
    network = PocketFeatures.load(models_dir, 2, lambda stage: None)
    pictures = [
        network.prepare("image", Image.open(SAMPLES / row["file_name"]).convert("RGB"))
        for row in sample_rows()
    ]
    return network.encode("image", pictures), network.encode(
        "text", [row["caption"] for row in sample_rows()]
    )


@pytest.mark.slow  # 195 photographs through the network and six trainings of 300 steps
def test_the_table_of_the_prototype_is_reproduced(sample_features):
    for (start, temperature), wanted in TABLE.items():
        settings = TowerSettings(temperature=temperature, start=start)
        first, end = Training(*sample_features, settings).run(every=300)
        if start == "cone":
            assert (first.l2m, first.paired.mean) == pytest.approx((0.656, -0.04), abs=0.006)
            assert first.cross_neighbours == pytest.approx(0.03, abs=0.006)
        else:
            assert (first.l2m, first.cross_neighbours) == pytest.approx((0.031, 0.35), abs=0.006)
        within = [one.mean + (1 - one.mean) / 150 for one in (end.image_image, end.text_text)]
        found = (
            end.l2m,
            end.paired.mean,
            end.unpaired.mean,
            *within,
            end.cross_neighbours,
            (end.trained.text_to_image + end.trained.image_to_text) / 2,
            end.held_out.text_to_image,
        )
        for value, one, tolerance in zip(found, wanted, TOLERANCE, strict=True):
            assert value == pytest.approx(one, abs=tolerance), (start, temperature, found)


@pytest.mark.slow  # as the table is
@pytest.mark.parametrize(("temperature", "share"), MISMATCHED)
def test_mismatched_pairs_widen_no_gap_that_is_not_there(sample_features, temperature, share):
    paired, recall, least, most = MISMATCHED[temperature, share]
    settings = TowerSettings(temperature=temperature, mismatched=share)
    _, end = Training(*sample_features, settings).run(every=300)
    assert end.paired.mean == pytest.approx(paired, abs=0.03)
    assert end.trained.text_to_image == pytest.approx(recall, abs=0.015)
    assert least <= end.l2m <= most
