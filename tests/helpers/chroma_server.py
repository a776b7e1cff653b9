"""A Chroma server as a process of its own, and a workspace on it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

from engine.storage.chroma import Store
from engine.workspace import Workspace
from tests.helpers.workspaces import give_model, make_settings


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


class Server:
    """A Chroma server that can be killed and started again on the same folder and port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        chroma = Path(sys.executable).with_name("chroma")
        command = [chroma, "run", "--path", self.folder, "--host", "127.0.0.1", "--port", str(self.port)]
        # A pipe nobody reads would fill with the request log and stop the server.
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(2_400):  # two minutes
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the Chroma server did not start")

    def empty(self) -> None:
        """Delete all collections, also those that people are not shown."""
        store = Store.open_server(self.url)
        for collection in store._client.list_collections():
            store._client.delete_collection(collection.name)
        store.close()

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


def open_on(server: Server, data_dir: Path, models_dir: Path, pocket: object) -> Workspace:
    return give_model(Workspace.open(make_settings(data_dir, models_dir, chroma_url=server.url)), pocket)
