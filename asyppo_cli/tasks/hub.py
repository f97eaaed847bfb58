"""Data sets of the Hugging Face hub as files: from its cache, else from the hub itself. Nothing of them is run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# Seconds until a hub that does not answer counts as out of reach; the client itself would try for half a minute.
REACH_SECONDS = 10.0
SPLIT = "train"


@dataclass(frozen=True)
class Snapshot:
    """The files of a data set's training split, sorted by name, as they are at a ``commit``."""

    hub_id: str
    commit: str
    files: tuple[Path, ...]

    @property
    def complete(self) -> bool:
        """Whether there are files, and every part that their names count (``train-00003-of-00010.parquet``)."""
        counts = {int(found[1]) for file in self.files if (found := re.search(r"-of-(\d+)\.", file.name))}
        return bool(self.files) and all(count == len(self.files) for count in counts)


def training_files(hub_id: str, revision: str | None) -> Snapshot:
    """The training split of a data set at a revision (None: the newest; what is cached counts as the newest).

    Raises:
        ValueError: it is neither in the cache nor to be had from the hub, or has no JSONL or Parquet files.
    """
    found = cached_files(hub_id, revision)
    if found is not None and found.complete:
        return found
    _download(hub_id, revision)
    found = cached_files(hub_id, revision)
    if found is None or not found.complete:
        raise ValueError(f"task.name={hub_id}: the data set has no complete JSONL or Parquet files of a split {SPLIT}")
    return found


def cached_files(hub_id: str, revision: str | None) -> Snapshot | None:
    """What the hub's cache has of the training split, perhaps not all of it; the network is not asked."""
    folder = cache_folder(hub_id)
    name = revision or "main"
    reference = folder / "refs" / name
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else name
    snapshot = folder / "snapshots" / commit
    files = _files(snapshot)
    return Snapshot(hub_id, commit, files) if files else None


def copied_files(path: Path, key: str) -> tuple[Path, ...]:
    """A file, or the training split's files of a folder that a data set was copied to.

    ``key`` is the setting to name in an error: ValueError for a folder without such files, or with some missing.
    """
    if not path.is_dir():
        return (path,)
    found = Snapshot(str(path), "", _files(path))
    if not found.complete:
        some = f"only {len(found.files)} of the" if found.files else "no"
        raise ValueError(f"{key}: the folder {path} has {some} files *{SPLIT}*.parquet or .jsonl")
    return found.files


def cache_folder(hub_id: str) -> Path:
    """Where the hub's cache keeps a data set."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"datasets--{hub_id.replace('/', '--')}"


def _download(hub_id: str, revision: str | None) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    at = f"{hub_id} at revision {revision or 'main'}"
    wanted = "give a copy: task.path=FILE, a JSONL or Parquet file with problem, answer and difficulty"
    reason = _out_of_reach()
    if reason:
        raise ValueError(f"task.name: {at} is not in {cache_folder(hub_id)}, and {reason}: {wanted}")
    try:
        snapshot_download(hub_id, repo_type="dataset", revision=revision, allow_patterns=_patterns())
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        told = " ".join(str(error).split())[:300]
        raise ValueError(f"task.name: {at} could not be fetched ({told}): {wanted}") from error


def _out_of_reach() -> str | None:
    """Why the hub cannot be asked; None if it answers, whatever it says."""
    import http.client
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")  # noqa: S310 - the hub's own address
        urllib.request.urlopen(request, timeout=REACH_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return None
    except (OSError, http.client.HTTPException):
        return f"{constants.ENDPOINT} cannot be reached"
    return None


def _files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(file for pattern in _patterns() for file in folder.rglob(pattern)))


def _patterns() -> list[str]:
    return [f"*{SPLIT}*.jsonl", f"*{SPLIT}*.parquet"]
