"""The same code on a real `chroma run` server: end to end, when the server goes, and after it is back."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import StoreLockedError, StoreUnreachableError
from engine.search.search import Query
from engine.storage.chroma import Store
from tests.helpers.chroma_server import Server, free_port, open_on
from tests.helpers.data import MADE_BY, ROOT, generated_photos, plain_items, sources, unit_table
from tests.helpers.workspaces import cli_env, make_settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server")
    server.start()
    yield server
    server.kill()


def test_ingest_search_and_delete(shared_server, tmp_path, models_dir, pocket):
    opened = open_on(shared_server, tmp_path / "data", models_dir, pocket)
    found = sources([generated_photos(tmp_path / "in", 20)])
    assert opened.ingest("whole", found).stored == 40
    assert opened.ingest("whole", found).skipped == 40
    table = opened.store.vectors("whole", "image")
    for id_, vector in zip(table.ids, table.vectors, strict=True):
        assert opened.store.query("whole", "image", vector, 1)[0][0].id == id_
    trace = opened.search(Query(text="picture number 7"), collection="whole", k=5)
    assert trace.results[0].item.caption == "picture number 7" and trace.searched == {"text": 20, "image": 20}
    opened.delete_items("whole", table.ids[:5])
    assert opened.store.info("whole").counts == {"text": 20, "image": 15}
    opened.delete_collection("whole")
    assert "whole" not in [info.name for info in opened.store.collections()]
    assert not (tmp_path / "data" / "chroma").exists()
    opened.close()


def test_a_killed_server_is_named_and_the_same_ingest_completes(own_server, tmp_path, models_dir, pocket):
    opened = open_on(own_server, tmp_path / "data", models_dir, pocket)
    found = sources([generated_photos(tmp_path / "in", 60)])
    job = dict(collection="cut", found=found)
    stopped: list[int] = []

    def kill_half_way(progress) -> None:
        if progress.done >= 32 and not stopped:
            stopped.append(progress.done)
            own_server.kill()

    with pytest.raises(StoreUnreachableError) as caught:
        opened.ingest(**job, on_progress=kill_half_way)
    assert own_server.url in str(caught.value) and "\n" not in str(caught.value) and stopped
    for call in (opened.store.collections, lambda: opened.search(Query(text="x"), collection="cut")):
        with pytest.raises(StoreUnreachableError):
            call()
    own_server.start()
    report = opened.ingest(**job)
    assert report.stored + report.skipped == 120 and report.failed == ()
    assert opened.store.info("cut").counts == {"text": 60, "image": 60}
    assert opened.ingest(**job).stored == 0
    assert {k[1]: v for k, v in opened.ledger.counts().items()} == {"text": 60, "image": 60}
    opened.close()


def test_no_server_is_said_quickly(tmp_path):
    started = time.monotonic()
    with pytest.raises(StoreUnreachableError, match="Start it"):
        Store.open_server(f"http://127.0.0.1:{free_port()}")
    assert time.monotonic() - started < 30  # loosely: the machine may be busy


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr("engine.storage.chroma._CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(StoreUnreachableError):
        Store.open_server(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_a_server_that_is_not_chroma_is_refused(tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(2_400):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        with pytest.raises(StoreUnreachableError):
            Store.open_server(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def test_two_processes_may_use_one_server(shared_server, tmp_path, models_dir, pocket):
    """Both ingest at the same time into one collection, each from a data folder of its own."""
    command = [sys.executable, "-m", "engine", "ingest", "--collection", "both", "--json"]
    running = []
    for number in (1, 2):
        folder = generated_photos(tmp_path / f"in{number}", 20, seed=number)
        data_dir = make_settings(tmp_path / f"data{number}", models_dir).data_dir
        env = cli_env(data_dir, GAPSCOPE_CHROMA_URL=shared_server.url)
        running.append(
            subprocess.Popen([*command, folder], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        )
    for process in running:
        out, _ = process.communicate(timeout=280)
        assert process.returncode == 0 and json.loads(out)["stored"] == 40
    opened = open_on(shared_server, tmp_path / "data1", models_dir, pocket)
    assert opened.store.info("both").counts == {"text": 40, "image": 40}
    table = opened.store.vectors("both", "image")
    for id_, vector in zip(table.ids, table.vectors, strict=True):
        assert opened.store.query("both", "image", vector, 1)[0][0].id == id_
    opened.close()


def test_mending_takes_nothing_from_another_process(shared_server, tmp_path, models_dir, pocket):
    """One data folder puts back what it knows; the rows of another one stay."""
    first = open_on(shared_server, tmp_path / "one", models_dir, pocket)
    first.ingest("shared", sources([generated_photos(tmp_path / "in1", 6, seed=3)]))
    second = open_on(shared_server, tmp_path / "two", models_dir, pocket)
    second.ingest("shared", sources([generated_photos(tmp_path / "in2", 2, seed=4)]))
    theirs = [items[0].id for items, _ in second.ledger.pages("shared", "image", rows=1)]
    mine = [items[0].id for items, _ in first.ledger.pages("shared", "image", rows=1)]
    first.store.delete_items("shared", mine[:4])
    first.close()
    first = open_on(shared_server, tmp_path / "one", models_dir, pocket)
    assert first.store.existing("shared", "image", mine + theirs) == {*mine, *theirs}
    first.close()
    second.close()


def test_a_server_needs_no_lock_but_the_folder_does(shared_server, tmp_path, models_dir, pocket):
    first = open_on(shared_server, tmp_path / "data", models_dir, pocket)
    second = open_on(shared_server, tmp_path / "data", models_dir, pocket)
    second.close()
    first.close()
    embedded = Store.open_embedded(tmp_path / "data")
    with pytest.raises(StoreLockedError):
        Store.open_embedded(tmp_path / "data")
    embedded.close()


def test_metadata_keeps_its_types_on_the_way_to_a_server(shared_server):
    values = {"whole": 2**63 - 1, "less": -(2**63), "real": 2.0, "tiny": 5e-324, "no": False, "$.a b": "x\ny"}
    table, store = unit_table(1), Store.open_server(shared_server.url)
    [item] = plain_items(table, metadata=tuple(sorted(values.items())))
    store.upsert("typed", MADE_BY, "image", [item], table)
    [found] = store.all_items("typed", "image")
    assert found == item
    assert [type(value) for _, value in found.metadata] == [type(value) for _, value in item.metadata]
    store.drop("typed")
    store.close()
