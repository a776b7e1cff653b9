"""An ingest on Ray stores what a plain one does, in whatever order rows arrive and whoever dies meanwhile."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import json
import random
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import FolderError, ModelError, RayIngestError
from engine.ingest.files import FileIngest
from engine.ingest.ray.cluster import divided
from engine.ingest.ray.driver import RayIngest
from engine.ingest.ray.line import Line, Share
from engine.ingest.ray.workers import (
    Desk,
    Encoder,
    FarEmbedder,
    Parcel,
    Row,
    decoded,
    local_settings,
    packets,
)
from engine.media.decode import probe
from engine.media.parts import Limits
from engine.media.sources import Source, SourceList
from engine.models.base import ModelChoice
from engine.models.pocket.recipe import PROVENANCE
from engine.progress import Hooks
from engine.workspace import Workspace
from tests.helpers import contact_sheet
from tests.helpers.chroma_server import Server, free_port, open_on
from tests.helpers.command_line import run_apart
from tests.helpers.data import ROOT, generated_photos, jpeg, mixed_sources, real_photos, source, sources
from tests.helpers.workspaces import cli_env, listed, make_settings

# A token of its own: Ray would write one into the home folder, and a cluster without is open to anybody.
_RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
_TWO = Share(2, cpus=0.25, gpus=0, readers=2)

# Two machines with a core each, and a third one without any, from which the command runs.
_CLUSTER = """
import sys
from ray.cluster_utils import Cluster
memory = {"object_store_memory": 100_000_000}
head = {"num_cpus": 0, "include_dashboard": False, **memory}
cluster = Cluster(initialize_head=True, head_node_args=head)
for _ in range(2):
    cluster.add_node(num_cpus=1, **memory)
print("address", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""

# A local Ray; when four files are done, one process that embeds and one that reads are killed. The driver is
# held up meanwhile, so that a reader waits for a parcel that is not sent yet.
_KILLING = """
import json, os, signal, sys, time
from pathlib import Path
import psutil
from engine.datasets.find import find_sources
from engine.ingest.ray.driver import ingest_on_ray
from engine.settings import load_settings
from engine.workspace import Workspace

killed = []

def running():
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            found[process.cmdline()[0].split("(")[0]] = process
        except (psutil.Error, IndexError):  # Ray has ended it meanwhile, or it is only just starting
            pass
    return found

def kill(progress):
    if progress.done < 4 or killed:
        return
    wanted, ends = {"ray::MapWorker", "ray::ReadTickets"}, time.monotonic() + 120
    while not wanted <= set(found := running()) and time.monotonic() < ends:
        time.sleep(0.2)
    for name in wanted & set(found):
        found[name].send_signal(signal.SIGKILL)
        killed.append(name)

workspace = Workspace.open(load_settings())
found = find_sources([Path(sys.argv[1])], max_file_bytes=10**8)
report = ingest_on_ray(workspace.folder, "killed", found, workers=2, address="local", on_progress=kill)
workspace.close()
print(json.dumps({"stored": report.stored, "failed": report.failed, "killed": killed}))
"""


@pytest.fixture(autouse=True)
def _no_ray_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a Ray cluster."""
    folder = tmp_path_factory.mktemp("cluster")
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _CLUSTER],
            env=cli_env(folder, **_RAY),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    lines = iter(process.stdout.readline, "")
    address = next((line.split()[1] for line in lines if line.startswith("address")), "")
    assert address, (folder / "errors").read_text()
    yield address
    process.stdin.close()
    process.wait(timeout=240)
    process.stdout.close()


def photos_with_trouble(folder: Path) -> Path:
    """Return 24 real photographs with captions, one of them twice, a text, and files that fail."""
    folder.mkdir()
    real_photos(folder, 24)
    first = sorted(folder.glob("*.jp*g"))[0]
    (folder / "again.jpg").write_bytes(first.read_bytes())
    (folder / "note.txt").write_text("a lighthouse by the sea", "utf-8")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "cut.jpg").write_bytes(first.read_bytes()[:900])
    (folder / "junk.bin").write_bytes(b"\x00\x01\x02" * 99)
    rows = (folder / "metadata.jsonl").read_text("utf-8")
    rows += json.dumps({"file_name": "cut.jpg", "caption": "of a broken file"}) + "\n"
    rows += json.dumps({"file_name": "again.jpg", "caption": "a second caption"}) + "\n"
    (folder / "metadata.jsonl").write_text(rows, "utf-8")
    return folder


def stored(workspace: Workspace, name: str) -> dict[str, tuple]:
    """Return every stored item without its time, with its vector, by id."""
    found = {}
    for modality in ("image", "text"):
        table = workspace.store.vectors(name, modality)
        vectors = dict(zip(table.ids, table.vectors, strict=True))
        for item in listed(workspace, modality, name):
            found[item.id] = (dataclasses.replace(item, added_at=0), vectors[item.id])
    return found


def assert_same(first: dict[str, tuple], second: dict[str, tuple]) -> None:
    assert set(first) == set(second)
    for id_, (item, vector) in first.items():
        assert item == second[id_][0] and np.allclose(vector, second[id_][1], atol=1e-5)


def media_files(data_dir: Path) -> dict[str, int]:
    kept = [path for kind in ("media", "thumbs") for path in (data_dir / kind).rglob("*") if path.is_file()]
    return {str(path.relative_to(data_dir)): path.stat().st_size for path in kept}


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_a_cluster_stores_what_one_machine_stores(cluster, server, tmp_path, models_dir, pocket):
    folder = photos_with_trouble(tmp_path / "in")
    plain = open_on(server, tmp_path / "one", models_dir, pocket)
    report = plain.ingest("plain", sources([folder]))
    make_settings(tmp_path / "two", models_dir)
    command = ["ingest", folder, "--collection", "spread", "--ray", "--ray-address", cluster]
    env = {"GAPSCOPE_CHROMA_URL": server.url, "GAPSCOPE_BATCH_FILES": "4", **_RAY}

    done = run_apart(tmp_path / "two", *command, "--ray-workers", "2", "--json", seconds=900, **env)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)  # exactly one: Ray prints to standard output by itself
    assert (document["stored"], document["skipped"]) == (report.stored, report.skipped) == (50, 1)
    failed = {(one["name"], one["reason"]) for one in document["failed"]}
    assert failed == {(one.name, one.reason) for one in report.failed} and len(failed) == 3
    assert_same(stored(plain, "plain"), stored(plain, "spread"))
    assert media_files(tmp_path / "one") == media_files(tmp_path / "two")

    again = run_apart(tmp_path / "two", *command, "--json", seconds=900, **env)
    assert again.returncode == 0, again.stderr
    document = json.loads(again.stdout)
    assert (document["stored"], document["skipped"], len(document["failed"])) == (0, 51, 3)
    assert plain.store.info("spread").counts == plain.store.info("plain").counts
    plain.close()


@pytest.mark.slow
def test_a_model_that_fails_is_one_sentence(cluster, tmp_path, models_dir):
    make_settings(tmp_path / "data", models_dir)
    command = ["ingest", generated_photos(tmp_path / "in", 2), "--collection", "none", "--ray"]
    options = ["--ray-address", cluster, "--model", "nobody/nothing", "--json"]
    done = run_apart(tmp_path / "data", *command, *options, **_RAY)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nobody/nothing is not on this machine" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_workers_lose_and_double_nothing(server, tmp_path, models_dir, pocket):
    data_dir = make_settings(tmp_path / "data", models_dir).data_dir
    env = cli_env(data_dir, GAPSCOPE_CHROMA_URL=server.url, GAPSCOPE_BATCH_FILES="2", **_RAY)
    done = subprocess.run(
        [sys.executable, "-c", _KILLING, str(generated_photos(tmp_path / "in", 40))],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # what Ray says of the dead is not among it
    assert set(result["killed"]) == {"ray::MapWorker", "ray::ReadTickets"}
    assert (result["stored"], result["failed"]) == (80, [])
    opened = open_on(server, data_dir, models_dir, pocket)
    assert opened.store.info("killed").counts == {"text": 40, "image": 40}
    assert {key[1]: count for key, count in opened.ledger.counts().items()} == {"text": 40, "image": 40}
    plain = open_on(server, tmp_path / "plain", models_dir, pocket)
    plain.ingest("unkilled", sources([tmp_path / "in"]))
    assert_same(stored(opened, "killed"), stored(plain, "unkilled"))
    plain.close()
    opened.close()


@pytest.mark.slow
def test_ray_that_is_not_installed_is_named_with_the_fix(settings, tmp_path):
    program = "import sys; sys.modules['ray'] = None; from engine.cli.app import main; main()"
    command = ["ingest", str(generated_photos(tmp_path / "in", 1)), "--collection", "photos", "--ray"]
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=ROOT,
        env=cli_env(settings.data_dir),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install -r requirements-ray.txt" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("given", ["option", "environment", "client"])
def test_a_cluster_out_of_reach_is_said_within_seconds(settings, tmp_path, given):
    address = f"ray://127.0.0.1:{free_port()}" if given == "client" else f"127.0.0.1:{free_port()}"
    command = ["ingest", generated_photos(tmp_path / "in", 1), "--collection", "photos", "--ray", "--json"]
    if given == "environment":
        done = run_apart(settings.data_dir, *command, RAY_ADDRESS=address, **_RAY)
    else:
        done = run_apart(settings.data_dir, *command, "--ray-address", address, **_RAY)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be reached" in done.stderr and "ray start --address" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_options_of_ray_need_ray(cli, settings):
    done = cli(settings.data_dir, "ingest", "x", "--collection", "photos", "--ray-workers", "2")
    assert done.returncode == 2 and "--ray" in done.stderr


def test_only_two_files_import_ray():
    importing = set()
    for path in [*ROOT.glob("engine/**/*.py"), *ROOT.glob("pages/**/*.py"), ROOT / "streamlit_app.py"]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            importing |= {path.name for name in names if name.split(".")[0] == "ray"}
    assert importing == {"cluster.py", "line.py"}


# What follows needs no Ray: the driver's side against workers that answer in any order.


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, models_dir, pocket) -> Encoder:
    settings = make_settings(tmp_path_factory.mktemp("encoder"), models_dir)
    made = Encoder(settings, ModelChoice("pocket"), PROVENANCE)
    made._model = pocket  # which embeds nothing twice: every test here embeds the same pictures
    return made


def far(pocket) -> FarEmbedder:
    return FarEmbedder(pocket.spec, PROVENANCE, pocket.modalities, pocket.image_side_px, {})


def line_of(encoder: Encoder, seed: int, *, fail_after: int | None = None) -> type:
    """Return a Line that decodes and embeds here, answers in any order, in pieces, and some twice."""

    class Shuffled:
        window = 3

        def __init__(self, share, model, settings, limits, *, tickets):
            self.limits = limits
            self.tickets, self.open_parcels, self.random = tickets, {}, random.Random(seed)
            self.coming: list[list[Row]] = []
            self.sent: list[int] = []

        def send(self, number, parcel):
            assert len(self.open_parcels) < self.window and len(self.sent) < self.tickets
            self.sent.append(number)
            self.open_parcels[number] = parcel
            for packet in packets(decoded(parcel, self.limits), limit=self.random.choice([1, 10**6])):
                self.coming += [encoder._answer(packet)] * self.random.choice([1, 1, 2])

        def open(self, number):
            return self.open_parcels[number]

        def drop(self, number):
            del self.open_parcels[number]

        def receive(self):
            if fail_after is not None and len(self.sent) > fail_after:
                raise ModelError("The model is broken.")
            return self.coming.pop(self.random.randrange(len(self.coming)))

        def close(self):
            pass

    return Shuffled


def run_far(workspace, found, pocket, monkeypatch, line: type, name="far", **options):
    monkeypatch.setattr("engine.ingest.ray.driver.Line", line)
    settings = workspace.settings.model_copy(update={"batch_files": options.pop("batch_files", 4)})
    folder = replace(workspace.folder, settings=settings)
    return RayIngest(name, folder, far(pocket), Hooks(**options), share=_TWO).run(found)


def tricky_sources() -> SourceList:
    """Return good and bad files, bytes that come again with other captions, also those of bad ones."""
    bad = b"\xff\xd8\xff" + b"junk" * 50
    again = [source(f"again{n}.jpg", jpeg(n), f"caption of {n}", f"another of {n}") for n in (0, 1, 7, 7)]
    broken = [source(f"broken{n}.jpg", bad, f"broken {n}") for n in range(5)]
    texts = [source("a.txt", b"a lighthouse"), source("b.txt", b"a lighthouse"), source("c.txt", b"a bee")]
    return mixed_sources(18) + SourceList((*broken[:2], *again, *texts, *broken[2:]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 32])
def test_parts_of_files_in_any_order_give_what_a_plain_ingest_gives(
    workspace, pocket, encoder, monkeypatch, seed, batch
):
    contact_sheet.register(monkeypatch)
    sheets = [contact_sheet.sheet(*(jpeg(10 * n + part) for part in range(n))) for n in range(1, 4)]
    sheets.append(contact_sheet.sheet(jpeg(91), b"\xff\xd8\xff broken", jpeg(92)))
    cut = source("cut.sheet", sheets[0][:-9], "cut off")
    files = [source(f"{n}.sheet", data, f"sheet {n}") for n, data in enumerate(sheets)]
    found = mixed_sources(4) + SourceList((*files, cut, replace(files[2], name="again.sheet")))
    settings = workspace.settings.model_copy(update={"batch_files": batch})
    folder = replace(workspace.folder, settings=settings)
    plain = FileIngest("plain", folder, pocket, Hooks()).run(found)
    kept = media_files(workspace.settings.data_dir)
    seen = []
    options = {"batch_files": batch, "on_progress": seen.append}
    report = run_far(workspace, found, pocket, monkeypatch, line_of(encoder, seed), **options)
    assert (report.stored, report.skipped, report.failed) == (plain.stored, plain.skipped, plain.failed)
    assert plain.stored == 8 + (1 + 2 + 3 + 2) + 4 and seen[-1].done == seen[-1].total == len(found.sources)
    assert_same(stored(workspace, "plain"), stored(workspace, "far"))
    assert media_files(workspace.settings.data_dir) == kept
    again = run_far(workspace, found, pocket, monkeypatch, line_of(encoder, seed), **options)
    assert again.stored == 0 and again.failed == plain.failed
    assert again.skipped == plain.stored + plain.skipped


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 4, 32])
def test_rows_in_any_order_give_what_a_plain_ingest_gives(
    workspace, pocket, encoder, monkeypatch, seed, batch
):
    found = tricky_sources()
    settings = workspace.settings.model_copy(update={"batch_files": batch})
    folder = replace(workspace.folder, settings=settings)
    plain = FileIngest("plain", folder, pocket, Hooks()).run(found)
    report = run_far(workspace, found, pocket, monkeypatch, line_of(encoder, seed), batch_files=batch)
    assert (report.stored, report.skipped, report.cancelled) == (plain.stored, plain.skipped, False)
    assert report.failed == plain.failed and plain.failed
    assert_same(stored(workspace, "plain"), stored(workspace, "far"))
    again = run_far(workspace, found, pocket, monkeypatch, line_of(encoder, seed), batch_files=batch)
    assert again.stored == 0 and again.failed == plain.failed


def test_what_is_stored_is_not_sent(workspace, pocket, encoder, monkeypatch):
    run_far(workspace, mixed_sources(6), pocket, monkeypatch, line_of(encoder, 0))

    class Deaf(line_of(encoder, 0)):
        def send(self, number, parcel):
            assert [probed.source.name for probed in parcel.files] == ["new.jpg"], parcel
            super().send(number, parcel)

    good = [one for one in mixed_sources(6).sources if "bad" not in one.name]
    found = SourceList((*good, source("new.jpg", jpeg(99), "new")))
    assert run_far(workspace, found, pocket, monkeypatch, Deaf).stored == 2


def test_cancelling_stops_and_running_again_completes(workspace, pocket, encoder, monkeypatch):
    seen = []
    line = line_of(encoder, 1)
    options = {"on_progress": seen.append, "cancelled": lambda: bool(seen) and seen[-1].done >= 8}
    report = run_far(workspace, mixed_sources(30), pocket, monkeypatch, line, **options)
    assert report.cancelled and 0 < report.stored < 60
    assert workspace.store.info("far").total == report.stored
    again = run_far(workspace, mixed_sources(30), pocket, monkeypatch, line)
    assert again.stored == 60 - report.stored and not again.cancelled


def test_a_model_that_breaks_on_the_way_keeps_what_was_stored(workspace, pocket, encoder, monkeypatch):
    with pytest.raises(ModelError, match="broken"):
        run_far(workspace, mixed_sources(30), pocket, monkeypatch, line_of(encoder, 2, fail_after=5))
    kept = workspace.store.info("far").total
    assert 0 < kept < 60 and {k[1]: n for k, n in workspace.ledger.counts().items()}["image"] == kept // 2
    files = media_files(workspace.settings.data_dir)
    assert len(files) == kept  # a picture and its thumbnail for every pair that was stored, and no more
    assert run_far(workspace, mixed_sources(30), pocket, monkeypatch, line_of(encoder, 2)).stored == 60 - kept


def test_a_full_disk_stops_in_words(workspace, pocket, encoder, monkeypatch):
    workspace.folder.settings = workspace.settings.model_copy(update={"min_free_disk_mb": 10.0**9})
    with pytest.raises(FolderError, match="GAPSCOPE_MIN_FREE_DISK_MB"):
        run_far(workspace, mixed_sources(4), pocket, monkeypatch, line_of(encoder, 0))
    assert workspace.store.collections() == []


def test_a_worker_with_another_model_says_so(settings):
    other = dataclasses.replace(PROVENANCE, revision="older")
    answer = Encoder(settings, ModelChoice("pocket"), other)._answer([])
    assert "another pocket" in answer and "revision" in answer and "\n" not in answer


def test_packets_are_bounded_and_lose_nothing():
    files = [probe(Source(f"{n}.jpg", lambda n=n: jpeg(n, side=64))) for n in range(5)]
    parcel = Parcel(files, [("c" * 64, "words")])
    rows = list(decoded(parcel, Limits(10**6)))
    assert [row.file for row in rows] == [one.sha256 for one in files] + ["c" * 64]
    sizes = [len(packet) for packet in packets(rows, limit=3 * 64 * 64 * 2)]
    assert sizes == [2, 2, 2] and [len(packet) for packet in packets(rows)] == [6]


def test_a_ticket_gets_the_same_parcel_again():
    async def visit() -> None:
        desk = Desk()
        early = asyncio.ensure_future(desk.take(9))
        await asyncio.sleep(0)
        retried = asyncio.ensure_future(desk.take(9))  # its first worker died while it waited
        await desk.give(0, ["zero"])
        await desk.give(1, ["one"])
        assert await early == await retried == ["zero"]
        assert await desk.take(2) == ["one"] and await desk.take(9) == ["zero"]
        await desk.drop(0)
        assert await desk.take(9) == []

    asyncio.run(visit())


@pytest.mark.parametrize(
    ("machines", "workers", "on_gpu", "expected"),
    [
        ([{"CPU": 2}], 2, False, Share(2, 0.25, 0, 2)),
        ([{"CPU": 2}], None, False, Share(1, 0.5, 0, 2)),
        ([{}, {"CPU": 1}, {"CPU": 1}], 2, False, Share(2, 0.25, 0, 2)),
        ([{"CPU": 16}] * 4, None, False, Share(16, 1.0, 0, 64)),
        ([{"CPU": 16, "GPU": 2}] * 2, None, True, Share(4, 2.0, 1, 20)),
        ([{"CPU": 16, "GPU": 2}] * 2, 3, False, Share(3, 2.66, 0, 16)),
        ([{"CPU": 1}], 400, False, Share(400, 0.01, 0, 2)),
    ],
)
def test_a_cluster_is_divided_so_that_reading_finds_a_core(machines, workers, on_gpu, expected):
    share = divided(machines, workers, on_gpu=on_gpu)
    assert share == expected and share.threads >= 1


@pytest.mark.parametrize(
    ("machines", "workers", "words"), [([{}], None, "no CPUs"), ([{"CPU": 8, "GPU": 2}], 3, "has 2")]
)
def test_a_cluster_too_small_is_refused(machines, workers, words):
    with pytest.raises(RayIngestError, match=words):
        divided(machines, workers, on_gpu=True)


def test_silence_is_not_waited_out_for_ever(settings, pocket):
    line = Line(_TWO, far(pocket), settings, Limits(10**6, 320), tickets=1)
    assert line._patience >= 600
    line._patience = 0.01
    with pytest.raises(RayIngestError, match="Nothing has come back"):
        line.receive()
    line._arrived.put("The model is broken.")
    with pytest.raises(ModelError, match="broken"):
        line.receive()


def test_a_machine_without_the_data_folder_keeps_weights_of_its_own(settings, tmp_path, monkeypatch):
    assert local_settings(settings) == settings
    monkeypatch.setenv("HOME", str(tmp_path))
    elsewhere = settings.model_copy(update={"data_dir": tmp_path / "nowhere"})
    assert local_settings(elsewhere).data_dir == tmp_path / ".cache" / "gapscope"
