"""One data set file of the Hugging Face hub at a pinned revision: from its cache, else from the hub itself."""

from __future__ import annotations

from pathlib import Path

# Seconds until a hub that does not answer counts as out of reach; the client itself would try for half a minute.
_REACH_SECONDS = 10.0


def fetch_dataset(hub_id: str, split: str, revision: str, wanted: str) -> Path:
    """The file of a split; ValueError, ending in what is ``wanted``, if it is neither cached nor fetched."""
    cached = cached_dataset(hub_id, split, revision)
    if cached is not None:
        return cached
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    place = f"{hub_id} at revision {revision[:12]} is not in the hub's cache"
    if not _within_reach():
        raise ValueError(f"{place}, and the hub is out of reach: {wanted}")
    try:
        snapshot_download(hub_id, repo_type="dataset", revision=revision, allow_patterns=_patterns(split))
    except (OSError, HfHubHTTPError) as error:
        raise ValueError(f"{place}, and could not be fetched ({error}): {wanted}") from error
    fetched = cached_dataset(hub_id, split, revision)
    if fetched is None:
        raise ValueError(f"{hub_id} at revision {revision[:12]} has no JSONL or Parquet file of the split {split}")
    return fetched


def cached_dataset(hub_id: str, split: str, revision: str) -> Path | None:
    """The file of a split in the hub's cache, without asking the network."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"datasets--{hub_id.replace('/', '--')}" / "snapshots" / revision
    return next((path for pattern in _patterns(split) for path in sorted(folder.rglob(pattern))), None)


def _within_reach() -> bool:
    """Whether the hub answers at all, whatever it says."""
    import http.client
    import urllib.error
    import urllib.request

    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return False
    try:
        request = urllib.request.Request(ENDPOINT, method="HEAD")  # noqa: S310 - the hub's own address
        urllib.request.urlopen(request, timeout=_REACH_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True


def _patterns(split: str) -> list[str]:
    return [f"*{split}*.jsonl", f"*{split}*.parquet"]
