"""Where metrics go besides ``metrics.jsonl``: Weights & Biases and TensorBoard, both off unless asked for."""

from __future__ import annotations

import json
import math
import netrc
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from asyppo_cli.requirements import install_command
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.runs.metrics import STEP


class MetricSink(Protocol):
    """Takes rows of metrics."""

    def write(self, row: Mapping[str, float]) -> None:
        """Take one row; it has its ``step``."""
        ...

    def close(self) -> None:
        """Hand over what is left."""
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
        sinks.append(WandbSink(run, wandb, wandb_project, config))
    if tensorboard:
        sinks.append(TensorBoardSink(run.tensorboard))
    return sinks


def has_wandb_key() -> bool:
    """Whether a key is in the environment or the file that ``wandb login`` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    server = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    try:
        return netrc.netrc(file).authenticators(server.hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


class WandbSink:
    """A wandb run whose files lie in the run directory; a resumed run goes on under the same id."""

    def __init__(
        self, run: RunDirectory, mode: Literal["offline", "online"], project: str, config: Mapping[str, Any]
    ) -> None:
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise ValueError(f"logging.wandb needs the package wandb: {install_command('logging')}") from error
        self._run = wandb.init(
            project=project,
            name=run.name,
            id=_wandb_id(run.path / "wandb.json"),
            # Resuming is refused, with a warning, where there is no server to ask.
            resume="allow" if mode == "online" else None,
            mode=mode,
            dir=run.path,
            config=dict(config),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def write(self, row: Mapping[str, float]) -> None:
        """Rows that wandb has already, from before a resume, are the same ones: it leaves them out."""
        self._run.log(dict(row), step=int(row[STEP]))

    def close(self) -> None:
        """Finish the wandb run."""
        self._run.finish()


def _wandb_id(path: Path) -> str:
    if not path.exists():
        replace_text(path, json.dumps({"id": secrets.token_hex(4)}))
    return str(json.loads(path.read_text())["id"])


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
            # Tells the reader to forget later steps of an attempt before this one.
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
