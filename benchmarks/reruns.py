"""What a rerun of the Search page costs the server, and what its memory does over thousands of them.

    .venv/bin/python benchmarks/reruns.py FOLDER [--reruns 2000] [--uploads 20] [--gc] [--rest 60]

FOLDER is a data folder, filled with the samples at its first start and kept. One session asks a new question
in every rerun, by Streamlit's own messages as a browser does, but without one. `--uploads` gives as many
pictures of 20 MB to ask with, one after another. `--gc` has Streamlit collect all garbage after every run, as
it does by itself. Prints lines of JSON: memory in MB, and the server's processor time in ms a rerun.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import httpx
import numpy as np
import psutil
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

PROJECT = Path(__file__).resolve().parent.parent
SUBJECTS = ("bee", "bridge", "church", "dog", "ferry", "garden", "harbour", "mountain", "street", "tram")
SIDE_PX = 2_600  # of a picture: 20 MB as PNG without compression
QUIET_SECONDS = 8.0  # without work of the server: what it does after its start is done


def main() -> None:
    """Start the app, ask, upload, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reruns", type=int, default=2_000)
    parser.add_argument("--uploads", type=int, default=0)
    parser.add_argument("--gc", action="store_true", help="collect all garbage after every run")
    parser.add_argument("--rest", type=float, default=60, help="seconds to wait at the end")
    arguments = parser.parse_args()
    with served(arguments.folder, collect=arguments.gc) as (port, server):
        visit = Visit(port)
        while not visit.has("text_input"):  # the samples are being made
            time.sleep(1)
            visit.run()
        settle(server)
        say("start", gc=arguments.gc, **memory(server))
        ask(visit, server, arguments.reruns)
        upload(visit, server, arguments.uploads)
        visit.close()
        time.sleep(arguments.rest)
        say("after the session", seconds=arguments.rest, **memory(server))


class Visit:
    """One session of the Search page, and the newest id of every widget by its kind."""

    def __init__(self, port: int) -> None:
        self._address = f"127.0.0.1:{port}"
        self._socket: ClientConnection = connect(
            f"ws://{self._address}/_stcore/stream", subprotocols=["streamlit"], max_size=None
        )
        self._widgets: dict[str, str] = {}
        self._session = ""
        self.run()

    def has(self, kind: str) -> bool:
        """Tell whether the page has such a widget."""
        return kind in self._widgets

    def run(self, state: WidgetState | None = None) -> None:
        """Have the page run with a widget's state, and wait until it has."""
        message = BackMsg()
        message.rerun_script.page_name = "Search"
        if state is not None:
            message.rerun_script.widget_states.widgets.append(state)
        self._socket.send(message.SerializeToString())
        while (answer := self._next()).WhichOneof("type") != "script_finished":
            if answer.WhichOneof("type") == "new_session":
                self._session = answer.new_session.initialize.session_id or self._session
            element = answer.delta.new_element
            kind = element.WhichOneof("type")
            if kind in ("text_input", "file_uploader"):
                self._widgets[kind] = getattr(element, kind).id

    def ask(self, words: str) -> None:
        """Ask with words."""
        self.run(WidgetState(id=self._widgets["text_input"], string_value=words))

    def give(self, data: bytes, name: str) -> None:
        """Ask with a picture in place of the one before."""
        message = BackMsg()
        message.file_urls_request.request_id = name
        message.file_urls_request.file_names.append(name)
        message.file_urls_request.session_id = self._session
        self._socket.send(message.SerializeToString())
        while (answer := self._next()).WhichOneof("type") != "file_urls_response":
            continue
        [urls] = answer.file_urls_response.file_urls
        httpx.put(
            f"http://{self._address}{urls.upload_url}", files={"file": (name, data)}, timeout=60
        ).raise_for_status()
        state = WidgetState(id=self._widgets["file_uploader"])
        info = state.file_uploader_state_value.uploaded_file_info.add()
        info.file_id, info.name, info.size = urls.file_id, name, len(data)
        info.file_urls.CopyFrom(urls)
        self.run(state)

    def close(self) -> None:
        """End the session."""
        self._socket.close()

    def _next(self) -> ForwardMsg:
        return ForwardMsg.FromString(self._socket.recv(timeout=300))


def ask(visit: Visit, server: psutil.Process, reruns: int) -> None:
    """Ask a new question in every rerun, and print where memory is after every quarter."""
    spent, quarter = [], max(1, reruns // 4)
    for number in range(reruns):
        before = used(server)
        visit.ask(f"{SUBJECTS[number % len(SUBJECTS)]} number {number}")
        spent.append(used(server) - before)
        if (number + 1) % quarter == 0:
            part = spent[-quarter:]
            say("asked", reruns=number + 1, **cost(part), **memory(server))


def upload(visit: Visit, server: psutil.Process, uploads: int) -> None:
    """Ask with large pictures, one after another, and print where memory is."""
    spent: list[float] = []
    # Smooth ones: the page keeps a small copy of each, which is not what is measured here.
    slope = np.linspace(0, 255, SIDE_PX).astype(np.uint8)
    for number in range(uploads):
        pixels = np.stack(np.broadcast_arrays(slope, slope[:, None], np.uint8(number)), axis=-1)
        Image.fromarray(pixels).save(out := io.BytesIO(), "PNG", compress_level=0)
        before = used(server)
        visit.give(out.getvalue(), f"picture {number}.png")
        spent.append(used(server) - before)
        if (number + 1) % max(1, uploads // 4) == 0:
            mb = round(len(out.getvalue()) / 1e6, 1)
            say("uploaded", uploads=number + 1, mb_each=mb, **cost(spent), **memory(server))
    if uploads:
        for number in range(5):
            visit.ask(f"after {number}")
        say("asked again", **memory(server))


@contextmanager
def served(folder: Path, *, collect: bool) -> Iterator[tuple[int, psutil.Process]]:
    """Run the app on a data folder; yields its port and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "server.port": port,
        "server.enableXsrfProtection": "false",  # its token lives in a browser
        "server.enableCORS": "false",
        **({"runner.postScriptGC": "true"} if collect else {}),
    }
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless", "true"]
    command += [part for key, value in options.items() for part in (f"--{key}", str(value))]
    env = {**os.environ, "GAPSCOPE_DATA_DIR": str(folder.absolute())}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=PROJECT, env=env, **quiet)
    for _ in range(600):
        try:
            urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).read()
            break
        except OSError:
            time.sleep(0.1)
    try:
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def settle(server: psutil.Process) -> None:
    """Wait until the server has done nothing for a while."""
    quiet_since, last = time.monotonic(), used(server)
    while time.monotonic() - quiet_since < QUIET_SECONDS:
        time.sleep(1)
        if (now := used(server)) - last > 0.1:
            quiet_since = time.monotonic()
        last = now


def used(server: psutil.Process) -> float:
    """Return the processor time of the server so far, in seconds, of all its threads."""
    times = server.cpu_times()
    return times.user + times.system


def memory(server: psutil.Process) -> dict[str, int]:
    """Return the resident memory of the server in MB."""
    return {"rss_mb": round(server.memory_info().rss / 1e6)}


def cost(seconds: list[float]) -> dict[str, float]:
    """Return the processor time of reruns in milliseconds."""
    return {
        "cpu_ms_median": round(1e3 * statistics.median(seconds)),
        "cpu_ms_mean": round(1e3 * statistics.mean(seconds)),
        "cpu_ms_max": round(1e3 * max(seconds)),
    }


def say(what: str, **figures: object) -> None:
    """Print one line of JSON."""
    print(json.dumps({"what": what, **figures}), flush=True)


if __name__ == "__main__":
    main()
