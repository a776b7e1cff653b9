"""An array of vectors is read with the table beside it, as clip-retrieval writes them, or by itself."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import VectorFileError
from engine.vector_files.look import look
from engine.vector_files.npy import beside
from engine.vector_files.reading import Reading
from engine.vector_files.table import VectorFile
from tests.helpers.vector_files import vectors

ROWS = vectors(4).astype(np.float16)
SAID = {
    "image_path": [f"00000/{n}.jpg" for n in range(4)],
    "caption": ["a", "b; c", 'd "e"', "f\ng"],
    "width": [1, 2, 3, 4],
}


def clip_retrieval(folder: Path) -> Path:
    """Write what clip-retrieval writes: arrays of float16, and the table of both in a folder of its own."""
    for kind in ("img_emb", "text_emb"):
        (folder / kind).mkdir()
        np.save(folder / kind / f"{kind}_0.npy", ROWS)
    (folder / "metadata").mkdir()
    pq.write_table(pa.table(SAID), folder / "metadata" / "metadata_0.parquet")
    return folder


def opened(path: Path, reading: Reading | None = None) -> VectorFile:
    table = beside(path)
    return VectorFile(path, reading=reading, table=(table.name, table) if table else None)


@pytest.mark.parametrize(("kind", "modality"), [("img_emb", "image"), ("text_emb", "text")])
def test_clip_retrieval_s_output_is_read_whole(tmp_path, kind, modality):
    path = clip_retrieval(tmp_path) / kind / f"{kind}_0.npy"
    file = opened(path)
    assert file.check() == () and (file.total, file.dim) == (4, 4)
    [page] = file.batches()
    assert np.array_equal(page.vectors, ROWS.astype(np.float32))
    assert [row.id for row in page.rows] == [f"{kind}_0 row {n}" for n in (1, 2, 3, 4)]
    assert [row.text for row in page.rows] == SAID["caption"] and {row.modality for row in page.rows} == {
        modality
    }
    assert page.rows[2].metadata == (("image_path", "00000/2.jpg"), ("width", 3))
    assert f"All rows are taken as {modality}." in file.notes
    assert any(note.startswith("There is no column of ids: rows are called") for note in file.notes)
    chosen = Reading((("id", "image_path"), ("pair", "image_path")))
    [page] = opened(path, chosen).batches()
    assert [row.id for row in page.rows] == [row.pair for row in page.rows] == SAID["image_path"]
    assert look(path, name=path.name).problem == "" and look(path, name=path.name).modality == modality


@pytest.mark.parametrize(("separator", "start"), [(",", ""), (";", "\ufeff"), ("\t", "")])
def test_the_table_may_be_a_csv(tmp_path, separator, start):
    np.save(tmp_path / "x.npy", ROWS)
    with (tmp_path / "x.csv").open("w", newline="") as out:
        out.write(start)
        writer = csv.writer(out, delimiter=separator)
        writer.writerow(["ID", "Modality", "caption", "width", "code"])
        for n in range(4):
            writer.writerow([f"00{n}", "Image", SAID["caption"][n], n, f"00{n}"])
    file = opened(tmp_path / "x.npy")
    assert file.check() == ()
    [page] = file.batches()
    assert [(row.id, row.text) for row in page.rows] == [(f"00{n}", SAID["caption"][n]) for n in range(4)]
    assert page.rows[3].metadata == (("code", "003"), ("width", 3)) and page.rows[0].modality == "image"
    found = look(tmp_path / "x.npy", name="x.npy", table=("x.csv", tmp_path / "x.csv"))
    assert [one.name for one in found.columns] == ["vector", "ID", "Modality", "caption", "width", "code"]
    with (tmp_path / "x.npy").open("rb") as array, (tmp_path / "x.csv").open("rb") as table:
        assert look(array, name="x.npy", table=("x.csv", table)) == found and not table.closed


def test_an_array_alone_needs_a_modality_and_its_rows_are_numbered(tmp_path):
    np.save(tmp_path / "mine.npy", ROWS)
    with pytest.raises(VectorFileError, match=r"no column modality.*--modality for all rows"):
        opened(tmp_path / "mine.npy")
    [page] = opened(tmp_path / "mine.npy", Reading(modality="audio")).batches()
    assert [row.id for row in page.rows][::3] == ["mine row 1", "mine row 4"]
    assert len(page) == 4 and page.rows[0].modality == "audio"


def test_what_does_not_belong_together_is_refused(tmp_path):
    path = tmp_path / "img_emb_0.npy"
    np.save(path, ROWS)
    pq.write_table(pa.table({"caption": ["a"]}), tmp_path / "metadata_0.parquet")
    with pytest.raises(
        VectorFileError, match=r"it has 4 rows, but metadata_0\.parquet has 1\. Row i of both"
    ):
        opened(path)
    (tmp_path / "metadata_0.parquet").unlink()
    (tmp_path / "img_emb_0.csv").write_text("caption,a\nx,y\nz\n")
    with pytest.raises(VectorFileError, match=r"img_emb_0\.csv: the CSV cannot be read: row 2 has 1 cells"):
        opened(path)
    (tmp_path / "img_emb_0.csv").write_bytes(b"caption\n\xff\xfe")
    with pytest.raises(VectorFileError, match="the CSV cannot be read: 'utf-8'"):
        opened(path)
    (tmp_path / "img_emb_0.csv").write_text('caption\n"never closed\n' + "x\n" * 200_000)
    with pytest.raises(VectorFileError, match="the CSV cannot be read"):
        opened(path)
    (tmp_path / "img_emb_0.csv").unlink()
    for array, says in (
        (ROWS[0], r"float16 of shape \(4,\); it must be numbers"),
        (np.asfortranarray(ROWS), "Fortran order"),
        (ROWS.astype(str), "it must be numbers"),
        (np.array([{"a": 1}], object), "it must be numbers"),
    ):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(VectorFileError, match=says):
            opened(path)
    whole = path.read_bytes()
    np.save(path, ROWS)
    whole = path.read_bytes()
    for size in range(6, len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(VectorFileError):
            opened(path).check()


def test_a_table_beside_what_needs_none_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", vector=ROWS)
    with pytest.raises(VectorFileError, match=r"x\.csv belongs to a \.npy, and this is none"):
        VectorFile(tmp_path / "x.npz", table=("x.csv", tmp_path / "x.csv"))
