"""Connecting to a Ray cluster, or starting one here, and dividing its machines; ingests nothing."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout

from engine.errors import ModelError, RayIngestError
from engine.ingest.ray.line import RESERVED, Share, far_settings, first_line, gave_up
from engine.ingest.ray.workers import (
    FarEmbedder,
    described,
)
from engine.models.base import ModelChoice
from engine.models.catalog import describe
from engine.settings import PROJECT_DIR, Settings

_CONNECT_SECONDS = 5.0
_CORES_PER_WORKER = 4
_JOIN = (
    "To use a cluster, start it with `ray start --head`, let this machine join it "
    "(`ray start --address=HEAD:6379`), and give HEAD:6379 as its address."
)


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to Ray for a while; what it prints meanwhile, of dead workers too, goes to standard error.

    Raises RayIngestError where Ray is not installed, out of reach or gives up.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        fix = "Install it with `pip install -r requirements-ray.txt`, on every machine of the cluster."
        raise RayIngestError(f"Ray cannot be imported ({error}). {fix}") from error
    _check_reachable(address)
    _keep_quiet()
    with redirect_stdout(sys.stderr):
        try:
            _start(address)
            yield
        except ray.exceptions.RayError as error:
            raise gave_up(error) from error
        finally:
            ray.shutdown()


def _start(address: str | None) -> None:
    import ray

    try:
        ray.init(
            address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env={"py_modules": [str(PROJECT_DIR / "engine")], "excludes": ["**/__pycache__"]},
        )
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        token = "A cluster that asks for a token wants RAY_AUTH_MODE=token in the environment."
        raise RayIngestError(f"Ray cannot be used ({first_line(error)}). {_JOIN} {token}") from error


def _check_reachable(address: str | None) -> None:
    """Raise RayIngestError where nobody answers: Ray itself waits for minutes, then aborts the process."""
    from ray._private.services import canonicalize_bootstrap_address  # the only reader of Ray's own rules

    try:
        found = canonicalize_bootstrap_address(address)
        if found is not None:
            host, _, port = found.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        shown = address or "that RAY_ADDRESS names"
        raise RayIngestError(
            f"The Ray cluster {shown} cannot be reached ({first_line(error)}). {_JOIN}"
        ) from error


def _keep_quiet() -> None:
    """Leave standard error to our own words; Ray keeps its logs in the folder of its session."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)


def uses_gpu(choice: ModelChoice, settings: Settings) -> bool:
    """Tell whether the workers want a GPU each."""
    return describe(choice.id).from_hub and set(settings.devices) != {"cpu"}


def divided(machines: Sequence[Mapping[str, float]], workers: int | None, *, on_gpu: bool) -> Share:
    """Divide machines, each as Ray's {"CPU": 8, "GPU": 1}, so that reading finds a core beside the actors.

    Raises RayIngestError where there are no cores, or more workers are asked for than there are GPUs.
    """
    cores = [machine.get("CPU", 0.0) for machine in machines]
    gpus = int(sum(machine.get("GPU", 0.0) for machine in machines)) if on_gpu else 0
    if not sum(cores):
        raise RayIngestError("The Ray cluster has no CPUs to work with. Let a machine that has some join it.")
    if gpus and (workers or 0) > gpus:
        raise RayIngestError(f"{workers} workers need a GPU each, and the Ray cluster has {gpus}.")
    count = workers or gpus or max(1, int(sum(cores) // _CORES_PER_WORKER))
    each = min(RESERVED * sum(cores) / count, max(cores) / 2)
    readers = min(max(2, int(sum(cores))), 4 * count + 4)
    return Share(count, cpus=max(0.01, int(each * 100) / 100), gpus=min(1, gpus), readers=readers)


def machines() -> list[Mapping[str, float]]:
    """Return what each living machine of the cluster has, as Ray counts it: {"CPU": 8, "GPU": 1}."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def described_far(choice: ModelChoice, settings: Settings, share: Share) -> FarEmbedder:
    """Ask a worker what the model is; the driver may be a machine that cannot load it. Raises ModelError."""
    import ray

    # max_calls ends the process afterwards, or it would keep the weights in memory.
    task = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_calls=1)(described)
    model = ray.get(task.remote(far_settings(settings, share), choice))
    if isinstance(model, str):
        raise ModelError(model)
    return model
