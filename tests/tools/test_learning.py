"""The page of results, from runs whose numbers are known."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPT = ["-m", "tools.results.learning"]
ENVIRONMENT = {
    "command": ["/home/somebody/secret"],
    "python": "3.11.0",
    "packages": {"torch": "2.13.0"},
    "git": {"commit": "0123456789abcdef", "changed": False},
    "hardware": {"cpu": "Some CPU", "cores": 2, "memory_bytes": 2**33, "gpus": []},
}


def made(folder: Path, algorithm: str, seed: int, after: float, state: str = "finished", *more: str) -> None:
    run = folder / f"{algorithm}-{seed}"
    run.mkdir(parents=True)
    config = {"seed": seed, "training": {"utd": 4}, "evaluation": {"problems": 1024, "temperature": 1.0}}
    config |= {"task": {"name": "sums"}, "policy": {"model": "tiny"}, "rollout": {"prompts": 32, "responses": 8}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "overrides.yaml").write_text(yaml.safe_dump([f"algorithm={algorithm}", "utd=four", f"seed={seed}", *more]))
    (run / "environment.json").write_text(json.dumps(ENVIRONMENT))
    fields = {"pid": 1, "step": 2, "max_steps": 2, "message": None}
    fields |= {"started": "2026-01-01T00:00:00+00:00", "updated": "2026-01-01T00:00:00+00:00", "ended": None}
    (run / "status.json").write_text(json.dumps({"state": state, **fields}))
    rows = [
        {"step": 0, "eval/accuracy": 0.4, "time/evaluate": 1.0},
        {"step": 1, "time/step": 2.0},
        {"step": 2, "time/step": 3.0, "eval/accuracy": after, "time/evaluate": 1.0},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def learning(folder: Path, *sweeps: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *SCRIPT, *map(str, sweeps), "--output", str(folder / "out")]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_page_says_what_the_runs_say(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sweep = tmp_path / "baselines"
    for seed, (asyppo, ppo, grpo) in enumerate([(0.80, 0.81, 0.70), (0.82, 0.80, 0.71), (0.84, 0.845, 0.745)], 1):
        made(sweep, "asyppo", seed, asyppo)
        made(sweep, "ppo", seed, ppo)
        made(sweep, "grpo", seed, grpo, "finished", f"learner.threads={seed}")
    made(sweep, "rloo", 1, 0.9, "interrupted")
    done = learning(tmp_path, sweep)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "baselines.md").read_text()
    # Mean 82, standard deviation 2: 4.3027 * 2 / sqrt(3) = 4.97.
    assert "| asyppo | 3 | 2 | 40.0 ± 0.0 | 82.0 ± 5.0 | 42.0 ± 5.0 | 2.50 ± 0.00 | 7 ± 0 |" in page
    assert "grpo is worse than asyppo: -10.2 points" in page
    assert "ppo against asyppo: no difference at this number of seeds (-0.2 points" in page
    assert "grpo end below asyppo; ppo cannot be told from asyppo" in page
    assert "The least gain is +40.0 points (seed 1)" in page
    assert "asyppo sweep algorithm=asyppo,grpo,ppo,rloo utd=four seed=1,2,3 --jobs 2 --name baselines" in page
    assert "Some CPU, 2 cores, 8 GiB" in page and "0123456789ab" in page
    assert "Left out: run rloo-1 is not finished" in page
    assert str(tmp_path) not in page and "somebody" not in page
    rows = list(csv.DictReader((tmp_path / "out" / "baselines.csv").read_text().splitlines()))
    assert len(rows) == 9 and rows[0]["algorithm"] == "asyppo" and rows[0]["utd"] == "4"
    assert (tmp_path / "out" / "curves.png").stat().st_size > 10_000


def test_runs_that_differ_in_more_are_not_compared(tmp_path: Path) -> None:
    made(tmp_path / "s", "asyppo", 1, 0.8)
    made(tmp_path / "s", "ppo", 1, 0.8, "finished", "max_steps=9")
    done = learning(tmp_path, tmp_path / "s")
    assert done.returncode == 1 and "differ in max_steps" in done.stderr


def test_without_a_finished_run_there_is_no_page(tmp_path: Path) -> None:
    made(tmp_path / "s", "asyppo", 1, 0.8, "failed")
    assert learning(tmp_path, tmp_path / "s").returncode == 1 and not (tmp_path / "out").exists()
