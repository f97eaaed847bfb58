"""Sweeps on a Ray cluster that somebody has started: trials run side by side if the cluster has room for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from ray_desk import machines

pytest.importorskip("ray", reason="Ray is not installed (extra: cpu-engines)")

# Policy, two critics and sampler, a quarter of a core each: two trials on two cores.
ON_RAY = ["cluster=ray", "sampler=transformers", "cluster.cpus_per_rank=0.25", "max_steps=2"]
NAMES = ["mask_pct-0.1", "mask_pct-0.3"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_trials_share_a_ray_cluster_and_more_than_fit_are_refused(
    asyppo: Callable[..., CompletedProcess[str]], small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machines(tmp_path / "token", monkeypatch, [{"cpus": 2, "gpus": 0}]) as address:
        words = ["sweep", "mask_pct=0.1,0.3", "--name", "s", *ON_RAY, f"cluster.address={address}", *small]
        refused = asyppo([*words, "--jobs", "3"], tmp_path)
        assert refused.returncode == 2 and "a trial needs 1 and 0: 2 fit at once" in refused.stderr, refused.stderr
        assert not (tmp_path / "runs").exists()
        done = asyppo([*words, "--jobs", "2"], tmp_path, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    started, ended = ([n for n, line in enumerate(lines) if word in line] for word in ("  started", "  finished with"))
    assert len(started) == len(ended) == 2 and max(started) < min(ended), done.stdout
    for name in NAMES:
        run = tmp_path / "runs" / "s" / name
        assert json.loads((run / "status.json").read_text())["state"] == "finished"
        # A process of its own for every role, in the cluster.
        roles = {path.stem.removeprefix("attempt-1-") for path in (run / "logs").glob("attempt-1-*.log")}
        assert {"policy-0", "critic_0-0", "critic_1-0", "sampler-0"} <= roles, roles
