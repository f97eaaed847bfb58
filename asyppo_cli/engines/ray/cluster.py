"""A Ray cluster: joined, or started here and ended with the run.

Ray is asked to be quiet, and to leave this process's signals alone: a first Ctrl-C finishes the step, and what Ray
has started must live until then.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from asyppo_cli.requirements import engines_extra, install_command
from asyppo_cli.system import STOP_SIGNALS, keep_handlers

# Joined by default if it is set; otherwise a cluster is started for this run alone.
ADDRESS = "RAY_ADDRESS"
MIN_VERSION = (2, 40)
CONNECT_SECONDS = 10.0
RAY_DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}


def check_ray() -> None:
    """ValueError if Ray is missing or too old."""
    try:
        found = version("ray")
    except PackageNotFoundError:
        found = "none"
    numbers = [int(part) for part in found.split(".")[:2] if part.isdigit()]
    if tuple(numbers) < MIN_VERSION:
        raise ValueError(
            f"cluster=ray needs ray {'.'.join(map(str, MIN_VERSION))} or newer, installed is {found}: "
            f"{install_command(engines_extra())}, or set cluster=local"
        )


@contextmanager
def connected(address: str | None) -> Iterator[dict[str, float]]:
    """Be part of a cluster within the block; yields its resources by Ray's names (``CPU``, ``GPU``).

    ``address`` None: the one that RAY_ADDRESS names, else one is started, and ended with the block.

    Raises:
        ValueError: nobody answers at the address, or a Ray of another version.
    """
    with preserved_signals():
        import ray

    chosen = address or os.environ.get(ADDRESS) or "local"
    # Ray lets every worker import from where it is started: an empty folder, in which no stranger's torch.py lies.
    with tempfile.TemporaryDirectory(prefix="asyppo-") as empty:
        with contextlib.chdir(empty), preserved_signals():
            session = connect(chosen)
        try:
            yield dict(ray.cluster_resources())
        finally:
            with preserved_signals():
                ray.shutdown()
            if chosen == "local":
                shutil.rmtree(session, ignore_errors=True)


def connect(address: str) -> str:
    """Start or join; returns the folder of Ray's own logs."""
    import ray

    if address not in ("local", "auto"):
        check_address(address)
    try:
        with suppressed_stderr():
            # The dashboard of a cluster that is joined is its own affair.
            dashboard = False if address == "local" else None
            context = ray.init(address, include_dashboard=dashboard, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        ray.shutdown()
        reason = " ".join(str(error).split())[:300]
        if address == "local":
            raise ValueError(f"a Ray cluster could not be started here: {reason}") from error
        raise ValueError(
            f"the Ray cluster {address} cannot be joined: {reason}: compare with what ray start --head has printed; "
            "where it asks for a token, set RAY_AUTH_MODE=token here too"
        ) from error
    stop_error_listener()
    return str(context.address_info["session_dir"])


def check_address(address: str) -> None:
    """ValueError unless the port accepts connections: Ray itself would retry for more than ten minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise ValueError(f"cluster.address={address}: give HOST:PORT, on a machine that is part of the cluster")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"no Ray cluster answers at {address} ({reason}): compare with what ray start --head has printed "
            f"(cluster.address, or the variable {ADDRESS})"
        ) from error


def stop_error_listener() -> None:
    """Ray prints what goes wrong in a cluster in long lines of its own; what concerns this run it tells us as well.

    There is no setting for it: the thread that listens is ended as Ray ends it when it disconnects.
    """
    worker: Any = importlib.import_module("ray._private.worker").global_worker
    # A Ray that has them under other names prints; nothing depends on it.
    with contextlib.suppress(AttributeError):
        worker.threads_stopped.set()
        worker.gcs_error_subscriber.close()
        worker.listener_thread.join()


@contextmanager
def suppressed_stderr() -> Iterator[None]:
    """Ray's native part complains there, a line a second, of what is raised in the end."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def preserved_signals() -> Iterator[None]:
    """Signals mean afterwards what they meant before; what is started in the block outlives a closed terminal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = os.environ | {}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    os.environ.update({name: os.environ.get(name, value) for name, value in RAY_DEFAULTS.items()})
    try:
        with keep_handlers((*STOP_SIGNALS, signal.SIGHUP)):
            yield
    finally:
        for name in RAY_DEFAULTS:
            os.environ.pop(name, None)
            os.environ.update({name: before[name]} if name in before else {})
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
