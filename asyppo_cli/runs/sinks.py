"""Where metrics go besides ``metrics.jsonl``: Weights & Biases and TensorBoard, both off unless asked for."""

from __future__ import annotations

import json
import math
import netrc
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from asyppo_cli.requirements import install_command
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.runs.metrics import STEP

# Seconds to wait for wandb's server before a run is kept offline.
CONNECT_SECONDS = 5.0
INIT_SECONDS = 30.0


class MetricSink(Protocol):
    """Takes rows of metrics."""

    def write(self, row: Mapping[str, float]) -> None:
        """Take one row; it has its ``step``."""
        ...

    def close(self) -> None:
        """Flush what is left."""
        ...


def open_sinks(
    run: RunDirectory,
    wandb: Literal["off", "offline", "online"],
    wandb_project: str,
    tensorboard: bool,
    config: Mapping[str, Any],
    notice: Callable[[str], None],
) -> list[MetricSink]:
    """The sinks that are asked for; ``config`` is shown beside the run.

    Raises:
        ValueError: a package is missing.
    """
    sinks: list[MetricSink] = []
    if wandb != "off":
        if wandb == "online" and not has_wandb_key():
            notice("no key for wandb: the run is kept offline (send it later with: wandb sync)")
            wandb = "offline"
        sinks.append(GuardedSink("wandb", open_wandb(run, wandb, wandb_project, config, notice), notice))
    if tensorboard:
        sinks.append(GuardedSink("tensorboard", TensorBoardSink(run.tensorboard), notice))
    return sinks


class GuardedSink:
    """A sink that may fail without ending the run: after its first error nothing is written to it."""

    def __init__(self, name: str, sink: MetricSink, notice: Callable[[str], None]) -> None:
        self._name, self._sink, self._notice = name, sink, notice
        self._failed = False

    def write(self, row: Mapping[str, float]) -> None:
        """Pass the row on."""
        self._attempt(lambda: self._sink.write(row))

    def close(self) -> None:
        """Flush what is left."""
        self._attempt(self._sink.close)

    def _attempt(self, action: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            action()
        except Exception as error:  # noqa: BLE001  errors of a library's own process and network: of any kind
            self._failed = True
            self._notice(f"{self._name} has failed and gets no more metrics ({first_line(error)}); the run goes on")


def first_line(error: Exception) -> str:
    """The first line of an error, or its kind where it has no text."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def open_wandb(
    run: RunDirectory,
    mode: Literal["offline", "online"],
    project: str,
    config: Mapping[str, Any],
    notice: Callable[[str], None],
) -> MetricSink:
    """A wandb run; offline, with a notice, where the server cannot be reached.

    Raises:
        ValueError: the package is missing.
    """
    if mode == "online":
        try:
            connect(server())
            return WandbSink(run, "online", project, config)
        except ValueError:
            raise
        except Exception as error:  # noqa: BLE001  wandb's errors, and those of the network below it
            notice(f"wandb cannot be reached ({first_line(error)}): the run is kept offline (later: wandb sync)")
    return WandbSink(run, "offline", project, config)


def server() -> SplitResult:
    """The address of the wandb server."""
    return urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))


def connect(address: SplitResult) -> None:
    """OSError if no connection to the server, or to the proxy for it, is made in time: wandb itself retries longer."""
    proxy = getproxies().get(address.scheme)
    host = urlsplit(proxy) if proxy and not proxy_bypass(address.hostname or "") else address
    port = host.port or (443 if host.scheme == "https" else 80)
    socket.create_connection((host.hostname or "", port), CONNECT_SECONDS).close()


def has_wandb_key() -> bool:
    """Whether a key is in the environment or the file that ``wandb login`` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return netrc.netrc(file).authenticators(server().hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


class WandbSink:
    """A wandb run whose files lie in the run directory.

    Online, a resumed run goes on under the same id, and wandb leaves out the steps it has. Offline there is no server
    to ask: each attempt is a run of its own, named by its number, in one group.
    """

    def __init__(
        self, run: RunDirectory, mode: Literal["offline", "online"], project: str, config: Mapping[str, Any]
    ) -> None:
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise ValueError(f"logging.wandb needs the package wandb: {install_command('logging')}") from error
        name, attempt = _wandb_id(run.path / "wandb.json")
        own = mode == "offline" and attempt > 1
        self._run = wandb.init(
            project=project,
            name=f"{run.name}-attempt-{attempt}" if own else run.name,
            id=f"{name}-{attempt}" if own else name,
            group=run.name,
            resume="allow" if mode == "online" else None,
            mode=mode,
            dir=run.path,
            config=dict(config),
            settings=wandb.Settings(silent=True, console="off", init_timeout=INIT_SECONDS),
        )

    def write(self, row: Mapping[str, float]) -> None:
        """Rows that wandb has already, from before a resume, are the same ones: it leaves them out."""
        self._run.log(dict(row), step=int(row[STEP]))

    def close(self) -> None:
        """Finish the wandb run."""
        self._run.finish()


def _wandb_id(path: Path) -> tuple[str, int]:
    """The run's id at wandb, and the number of this attempt at it, from 1."""
    known = json.loads(path.read_text()) if path.exists() else {"id": secrets.token_hex(4)}
    attempt = int(known.get("attempts", path.exists())) + 1
    replace_text(path, json.dumps({"id": known["id"], "attempts": attempt}))
    return str(known["id"]), attempt


class TensorBoardSink:
    """Event files, written without torch or tensorflow."""

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ModuleNotFoundError as error:
            raise ValueError(
                f"logging.tensorboard needs the package tensorboard: {install_command('logging')}"
            ) from error
        self._writer = EventFileWriter(str(folder))
        self._begun = False

    def write(self, row: Mapping[str, float]) -> None:
        """All finite values as scalars of the row's step."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        step = int(row[STEP])
        if not self._begun:
            # Makes readers drop later steps of an earlier attempt.
            start = SessionLog(status=SessionLog.START)
            self._writer.add_event(Event(wall_time=time.time(), step=step, session_log=start))
            self._begun = True
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != STEP and math.isfinite(value)
        ]
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
