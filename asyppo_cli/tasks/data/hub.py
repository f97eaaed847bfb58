"""Data sets of the Hugging Face hub as files, and whether the hub can be reached. No code of a data set is run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# Suffixes of files of problems.
SUFFIXES = (".jsonl", ".parquet", ".csv")
# Timeout of the check that the hub can be reached; the client itself would try for a minute.
REACH_SECONDS = 10.0


@dataclass(frozen=True)
class DatasetFiles:
    """The files of one split of a data set at a ``commit``, sorted by name."""

    commit: str
    files: tuple[Path, ...]

    @property
    def complete(self) -> bool:
        """Whether every part is there, by the numbers in the names (``train-00003-of-00010.parquet``)."""
        counts = {int(found[1]) for file in self.files if (found := re.search(r"-of-(\d+)\.", file.name))}
        return bool(self.files) and all(count == len(self.files) for count in counts)


def split_files(hub_id: str, split: str, revision: str | None, key: str, wanted: str) -> DatasetFiles:
    """A split of a data set at a revision (None: the cached one, else the newest).

    ``key`` is the setting to name in an error, ``wanted`` the advice.

    Raises:
        ValueError: it is not cached and cannot be downloaded, or has no JSONL or Parquet files.
    """
    found = cached_files(hub_id, split, revision)
    if found is not None and found.complete:
        return found
    _download(hub_id, split, revision, key, wanted)
    found = cached_files(hub_id, split, revision)
    if found is None or not found.complete:
        raise ValueError(f"{key}: {hub_id} has no complete JSONL, Parquet or CSV files of a split {split}")
    return found


def cached_files(hub_id: str, split: str, revision: str | None) -> DatasetFiles | None:
    """The cached files of a split, perhaps incomplete; without network access."""
    folder = cache_folder(hub_id)
    name = revision or "main"
    reference = folder / "refs" / name
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else name
    files = _files(folder / "snapshots" / commit, split)
    return DatasetFiles(commit, files) if files else None


def copied_files(path: Path, split: str, key: str) -> tuple[Path, ...]:
    """A file, or the files of a split in a folder with a copy of a data set.

    Raises ValueError, naming ``key``, for a folder without such files or with missing parts.
    """
    if not path.is_dir():
        return (path,)
    found = DatasetFiles("", _files(path, split))
    if not found.complete:
        some = f"only {len(found.files)} of the" if found.files else "no"
        raise ValueError(f"{key}: the folder {path} has {some} files *{split}*.parquet, .jsonl or .csv")
    return found.files


def cache_folder(hub_id: str) -> Path:
    """The folder of a data set in the hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"datasets--{hub_id.replace('/', '--')}"


def why_out_of_reach() -> str | None:
    """Why the hub cannot be reached, through a proxy if one is set; None for any answer."""
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        # The address is the hub's, or from the user's environment.
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")  # noqa: S310
        urllib.request.urlopen(request, timeout=REACH_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return None
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        # Another client may trust other certificates.
        if isinstance(cause, ssl.SSLError):
            return None
        return f"{constants.ENDPOINT} cannot be reached ({getattr(cause, 'strerror', None) or cause})"
    return None


def _download(hub_id: str, split: str, revision: str | None, key: str, wanted: str) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    at = f"{key}: {hub_id} at revision {revision or 'main'}"
    reason = why_out_of_reach()
    if reason:
        raise ValueError(f"{at} is not in {cache_folder(hub_id)}, and {reason}: {wanted}")
    try:
        snapshot_download(hub_id, repo_type="dataset", revision=revision, allow_patterns=_patterns(split))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{at} could not be fetched ({reason}): {wanted}") from error


def _files(folder: Path, split: str) -> tuple[Path, ...]:
    return tuple(sorted(file for pattern in _patterns(split) for file in folder.rglob(pattern)))


def _patterns(split: str) -> list[str]:
    return [f"*{split}*{suffix}" for suffix in SUFFIXES]
