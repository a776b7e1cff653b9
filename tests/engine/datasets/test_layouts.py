"""Proves that the layouts people have go in whole: every picture with its own captions and labels."""

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from engine.datasets.listing import list_files, list_folder, list_paths
from engine.datasets.plan import Plan, understand
from tests.helpers.data import jpeg, sources

LIMIT = 1_000_000
COUNT = 10
PICTURES = [jpeg(n, 24) for n in range(COUNT)]
NAMES = [f"{n:04}.jpg" for n in range(COUNT)]
CAPTIONS = [(f'A thing, number {n}, in "red".', f"Another word for thing number {n}.") for n in range(COUNT)]
LABELS = ["cat" if n % 2 else "dog" for n in range(COUNT)]
SPLITS = ["test" if n > 7 else "train" for n in range(COUNT)]
Files = dict[str, str | bytes]


def pictures(folder: str = "") -> Files:
    return {folder + name: data for name, data in zip(NAMES, PICTURES, strict=True)}


def table(header: list[str], rows: list[list[object]], delimiter: str = ",") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([header, *rows])
    return out.getvalue()


def each_caption() -> list[tuple[int, int, str]]:
    return [(n, at, CAPTIONS[n][at]) for n in range(COUNT) for at in range(2)]


def image_folder() -> Files:
    """`metadata.jsonl` of the datasets library, one table for each split."""
    files: Files = {}
    for split in ("train", "test"):
        mine = [n for n in range(COUNT) if SPLITS[n] == split]
        files |= {f"{split}/{NAMES[n]}": PICTURES[n] for n in mine}
        rows = [{"file_name": NAMES[n], "captions": CAPTIONS[n], "label": LABELS[n]} for n in mine]
        files[f"{split}/metadata.jsonl"] = "\n".join(map(json.dumps, rows))
    return files


def rows_of_csv() -> Files:
    rows = [[NAMES[n], caption, LABELS[n]] for n, _, caption in each_caption()]
    return pictures() | {"metadata.csv": table(["file_name", "caption", "label"], rows)}


def export_of_excel() -> Files:
    rows = [[f"C:\\photos\\{NAMES[n]}", caption, LABELS[n], n] for n, _, caption in each_caption()]
    text = table([" Image Path", "CAPTION ", "Label", "year"], rows, ";")
    return pictures("photos/") | {"My list.csv": text.encode("utf-16")}


def pandas_lists() -> Files:
    rows = [["", NAMES[n], str(list(CAPTIONS[n])), f"['{LABELS[n]}']", "nan"] for n in range(COUNT)]
    return pictures() | {"df.tsv": table(["", "image", "captions", "labels", "score"], rows, "\t")}


def flickr_8k() -> Files:
    rows = [[NAMES[n], caption] for n, _, caption in each_caption()]
    return pictures("Images/") | {"captions.txt": table(["image", "caption"], rows)}


def flickr_tokens() -> Files:
    lines = [f"{NAMES[n]}#{at}\t{caption}" for n, at, caption in each_caption()]
    return pictures("Flicker8k_Dataset/") | {"Flickr8k.token.txt": "\n".join(lines)}


def flickr_30k() -> Files:
    lines = [f"{NAMES[n]}| {at}| {caption}" for n, at, caption in each_caption()]
    header = "image_name| comment_number| comment"
    return pictures("flickr30k_images/") | {"results.csv": "\n".join([header, *lines])}


def coco() -> Files:
    """Captions and categories in a document each, as the pictures of 2017 have them."""
    images = [{"id": 100 + n, "file_name": NAMES[n], "height": 24} for n in range(COUNT)]
    said = [{"image_id": 100 + n, "id": n, "caption": text} for n, _, text in each_caption()]
    boxes = [
        {"image_id": 100 + n, "id": n, "category_id": 1 + n % 2, "bbox": [0, 0, 1, 1]} for n in range(COUNT)
    ]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    return pictures("train2017/") | {
        "annotations/captions_train2017.json": json.dumps({"images": images, "annotations": said}),
        "annotations/instances_train2017.json": json.dumps(
            {"images": images, "annotations": boxes, "categories": categories}
        ),
    }


def karpathy() -> Files:
    images = [
        {"filename": NAMES[n], "filepath": "val2014", "split": SPLITS[n], "imgid": n}
        | {"sentences": [{"raw": text, "tokens": text.split()} for text in CAPTIONS[n]]}
        for n in range(COUNT)
    ]
    return pictures("val2014/") | {"dataset_coco.json": json.dumps({"images": images, "dataset": "coco"})}


def img2dataset() -> Files:
    """A picture with its text and its metadata under one name, in a folder for each shard."""
    files: Files = {}
    for n in range(COUNT):
        key = f"{n // 5:05}/{n // 5:05}{n % 5:04}"
        meta = {"key": key[-9:], "caption": CAPTIONS[n][1], "status": "success", "error_message": None}
        files |= {f"{key}.jpg": PICTURES[n], f"{key}.txt": CAPTIONS[n][0], f"{key}.json": json.dumps(meta)}
    return files | {
        "00000_stats.json": json.dumps({"count": 5, "successes": 5, "status_dict": {"success": 5}})
    }


def class_folders() -> Files:
    """Folders of classes in folders of splits, a text of two sentences beside each picture."""
    files: Files = {}
    for n, name in enumerate(NAMES):
        stem = f"data/{SPLITS[n]}/{LABELS[n]}/{name[:4]}"
        files |= {f"{stem}.jpg": PICTURES[n], f"{stem}.txt": "\n".join(CAPTIONS[n])}
    return files


def by_name() -> Files:
    said = {
        f"/home/me/train/{NAMES[n][:4]}": {"caption": CAPTIONS[n], "tags": LABELS[n]} for n in range(COUNT)
    }
    return pictures("train/") | {"meta_cap.json": json.dumps(said)}


def numbered_columns() -> Files:
    lines = [
        {"img": f"./{NAMES[n].upper()}", "caption_1": CAPTIONS[n][0], "caption_2": CAPTIONS[n][1]}
        | {"Class": LABELS[n], "boxes": None}
        for n in range(COUNT)
    ]
    return pictures() | {"train.jsonl": "\n".join(map(json.dumps, lines))}


LAYOUTS = {
    "imagefolder": image_folder,
    "rows of CSV": rows_of_csv,
    "Excel": export_of_excel,
    "pandas": pandas_lists,
    "Flickr 8k": flickr_8k,
    "Flickr tokens": flickr_tokens,
    "Flickr 30k": flickr_30k,
    "COCO": coco,
    "Karpathy": karpathy,
    "img2dataset": img2dataset,
    "class folders": class_folders,
    "by name": by_name,
    "numbered columns": numbered_columns,
}
UNLABELLED = {"Flickr 8k", "Flickr tokens", "Flickr 30k", "Karpathy", "img2dataset"}
LEFT_OUT = {"img2dataset": [("JSON that lists no files is not taken.", 1, ("00000_stats.json",))]}


def written(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def zipped(path: Path, files: Files) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def of_folder(folder: Path) -> Plan:
    return understand(list_folder(folder), max_file_bytes=LIMIT)


def assert_whole(plan: Plan, *, labelled: bool) -> None:
    """Check that each picture, told by its bytes, has its own captions in order and its own label."""
    assert plan.failed == ()
    found = {source.read(): source for source in plan.sources}
    assert sorted(found) == sorted(PICTURES) and plan.files == COUNT
    for n, data in enumerate(PICTURES):
        assert found[data].captions == CAPTIONS[n]
        assert found[data].labels == ((LABELS[n],) if labelled else ())
    assert (plan.captions, plan.labelled) == (2 * COUNT, COUNT if labelled else 0)
    assert plan.labels == (("cat", "dog") if labelled else ()) and len(plan.sample) == COUNT


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("way", ["folder", "zip"])
def test_a_layout_goes_in_whole(tmp_path, layout, way):
    files = LAYOUTS[layout]()
    if way == "zip":
        plan = understand(list_files({"d.zip": zipped(tmp_path / "d.zip", files)}), max_file_bytes=LIMIT)
    else:
        plan = of_folder(written(tmp_path, files))
    assert_whole(plan, labelled=layout not in UNLABELLED)
    assert [(one.reason, one.count, one.examples) for one in plan.left_out] == LEFT_OUT.get(layout, [])
    assert plan.layouts


def test_a_layout_says_what_it_was_understood_as(tmp_path):
    plan = of_folder(written(tmp_path, export_of_excel()))
    [layout] = plan.layouts
    assert layout == (
        "My list.csv (CSV, read as UTF-16, separated by semicolon) describes 10 files: column Image Path "
        "names the file, CAPTION the captions, Label the labels."
    )
    assert [(one.name, one.use, one.tables, one.example) for one in plan.columns] == [
        ("Image Path", "file", ("My list.csv",), "C:\\photos\\0000.jpg"),
        ("CAPTION", "caption", ("My list.csv",), CAPTIONS[0][0]),
        ("Label", "label", ("My list.csv",), "dog"),
        ("year", "column", ("My list.csv",), "0"),
    ]


# What people combine


def test_class_folders_and_texts_inside_a_zip_beside_a_loose_picture(tmp_path):
    zipped(tmp_path / "sets" / "animals.zip", class_folders())
    plan = of_folder(written(tmp_path, {"banner.png": b"P"}))
    assert [source.name for source in plan.sources if not source.labels] == ["banner.png"]
    named = {source.name: (source.labels, dict(source.metadata)) for source in plan.sources}
    assert named["data/train/dog/0000.jpg"] == (("dog",), {"split": "train"})
    assert named["data/test/cat/0009.jpg"] == (("cat",), {"split": "test"})


@pytest.mark.parametrize("members", ["", "images/", "deep/photos/"])
def test_a_table_and_a_zip_of_its_pictures_in_one_upload(tmp_path, members):
    files = export_of_excel()
    place = zipped(tmp_path / "000001.zip", pictures(members))
    list_ = tmp_path / "000002"
    list_.write_bytes(files["My list.csv"])
    plan = understand(list_files({"images.zip": place, "My list.csv": list_}), max_file_bytes=LIMIT)
    assert_whole(plan, labelled=True)


def test_a_table_in_one_zip_and_pictures_in_another(tmp_path):
    files = coco()
    lists = {name: data for name, data in files.items() if name.startswith("annotations/")}
    zipped(tmp_path / "annotations_trainval2017.zip", lists)
    zipped(tmp_path / "train2017.zip", pictures("train2017/"))
    [listing] = list_paths(sorted(tmp_path.glob("*.zip")))
    plan = understand(listing, max_file_bytes=LIMIT)
    assert_whole(plan, labelled=True)


def test_a_table_given_beside_the_folder_of_its_pictures(tmp_path):
    """As a shell gives them for `ingest data/*`, the pictures in a zip in the folder or not."""
    for number, files in enumerate((pictures("photos/"), {})):
        folder = written(tmp_path / str(number), files | {"list.csv": export_of_excel()["My list.csv"]})
        if not files:
            zipped(folder / "photos" / "all.zip", pictures("deep/"))
        [listing] = list_paths(sorted(folder.iterdir()))
        assert_whole(understand(listing, max_file_bytes=LIMIT), labelled=True)


def test_folders_of_one_folder_given_each_by_itself(tmp_path):
    """As a shell gives them for `ingest data/*`; folders of other places stay what they are."""
    files = {f"{LABELS[n]}/{NAMES[n]}": PICTURES[n] for n in range(COUNT)}
    folder = written(tmp_path / "data", files)
    [listing] = list_paths(sorted(folder.iterdir()))
    plan = understand(listing, max_file_bytes=LIMIT)
    assert {one.read(): one.labels for one in plan.sources} == {
        PICTURES[n]: (LABELS[n],) for n in range(COUNT)
    }
    elsewhere = written(tmp_path / "other", {"one/a.jpg": b"A", "b.jpg": b"B"})
    assert len(list_paths([folder / LABELS[0], elsewhere / "one"])) == 2


def test_a_zip_for_each_split(tmp_path):
    for split in ("train", "test"):
        mine = [n for n in range(COUNT) if SPLITS[n] == split]
        zipped(tmp_path / f"{split}.zip", {f"{LABELS[n]}/{NAMES[n]}": PICTURES[n] for n in mine})
    plan = of_folder(tmp_path)
    found = {source.read(): (source.labels, dict(source.metadata)) for source in plan.sources}
    assert found == {PICTURES[n]: ((LABELS[n],), {"split": SPLITS[n]}) for n in range(COUNT)}


def test_a_table_dropped_with_pictures_that_were_in_folders(tmp_path):
    rows = [[f"{SPLITS[n]}/{LABELS[n]}/{NAMES[n]}", caption] for n, _, caption in each_caption()]
    plan = of_folder(written(tmp_path, pictures() | {"captions.csv": table(["path", "text"], rows)}))
    assert_whole(plan, labelled=False)


def test_a_layout_goes_through_a_real_ingest(workspace, tmp_path):
    report = workspace.ingest("mine", sources([zipped(tmp_path / "d.zip", class_folders())]))
    assert (report.stored, report.skipped, report.failed) == (3 * COUNT, 0, ())
    images = {item.pair: item for item in workspace.store.all_items("mine", "image")}
    texts = list(workspace.store.all_items("mine", "text"))
    for n in range(COUNT):
        [image] = [one for one in images.values() if one.name.endswith(NAMES[n])]
        assert image.labels == (LABELS[n],) and dict(image.metadata) == {"split": SPLITS[n]}
        assert image.name == f"data/{SPLITS[n]}/{LABELS[n]}/{NAMES[n]}"
        assert {one.caption for one in texts if one.pair == image.pair} == set(CAPTIONS[n])


def shard(path: Path, samples: range) -> None:
    """Write a shard as WebDataset does: each sample's files under its key, one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for n in samples:
            meta = json.dumps({"caption": CAPTIONS[n][1], "url": f"http://x/{n}"})
            parts = {
                "jpg": PICTURES[n],
                "seg.npy": b"x",
                "txt": CAPTIONS[n][0],
                "json": meta,
                "cls": LABELS[n],
            }
            for suffix, content in {**parts, "cls": LABELS[n]}.items():
                data = content.encode() if isinstance(content, str) else content
                member = tarfile.TarInfo(f"{n:06}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def test_shards_of_webdataset(tmp_path):
    shard(tmp_path / "train" / "000.tar", range(5))
    shard(tmp_path / "val" / "000.tar", range(5, COUNT))
    plan = of_folder(tmp_path)
    assert_whole(plan, labelled=True)
    assert plan.layouts[1:] == ("Folders are splits, kept as column split: train (5), val (5).",)
    assert [(one.count, one.reason) for one in plan.left_out] == [
        (COUNT, "Arrays and other data called like a picture beside them are not taken.")
    ]


def test_the_links_of_a_hub_snapshot(tmp_path):
    """The cache of the model hub keeps files by their hash, and links to them under their names."""
    hub = tmp_path / "datasets--me--animals"
    for number, (name, content) in enumerate(image_folder().items()):
        blob = hub / "blobs" / f"{number:040x}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content.encode() if isinstance(content, str) else content)
        link = hub / "snapshots" / f"{7:040x}" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("../" * (3 + name.count("/")), "blobs", blob.name).as_posix()[3:])
    assert_whole(of_folder(hub / "snapshots" / f"{7:040x}"), labelled=True)
