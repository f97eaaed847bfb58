"""A hundred mistakes on the command line and in files: each ends in one line that says error, with exit code 1 or 2."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from asyppo_cli.app import guarded, run

# The folder of each command has: an empty folder, some files that are not what they should be, and a run that is none.
FILES: dict[str, str | bytes] = {
    "empty.jsonl": "",
    "broken.jsonl": '{"id": "1", "problem": "1+1", "answer": "2"}\n{"id": "2", "prob',
    "no_answer.jsonl": '{"id": "1", "problem": "1+1"}\n',
    "twice.jsonl": '{"id": "1", "problem": "1+1", "answer": "2"}\n' * 2,
    "list.jsonl": "[1, 2, 3]\n",
    "null.jsonl": '{"id": "1", "problem": null, "answer": "2"}\n',
    "latin1.jsonl": '{"id": "1", "problem": "caf\xe9", "answer": "2"}\n'.encode("latin-1"),
    "surrogate.jsonl": '{"id": "1", "problem": "a\\ud800b", "answer": "2"}\n',
    "two.jsonl": "".join(f'{{"id": "{i}", "problem": "{i}+1", "answer": "{i + 1}"}}\n' for i in range(2)),
    "notes.txt": "not a data set",
    "bad.parquet": b"PAR1 but not really",
    "bad.gguf": b"GGUF" + bytes(64),
    "model/config.json": "{",
    "other/config.json": '{"model_type": "no_such_architecture"}',
    "hollow/config.json": '{"model_type": "qwen3", "vocab_size": 10}',
    "tree.yaml": "a: [1, 2",
    "answers.jsonl": '{"gold": "1"}\n',
    "runs/file": "a file where a run is expected",
    "runs/torn/config.yaml": "seed: [",
    "mine/experiment/odd.yaml": "# @package _global_\nno_such_key: 1\n",
    "mine/experiment/text.yaml": "- a\n- b\n",
}
TRAIN = (
    "no_such_key=1",
    "mask_pct=1.5",
    "mask_pct=-0.1",
    "mask_pct=abc",
    "mask_pct=nan",
    "mask_pct=",
    "critic_count=-1",
    "critic_count=1.5",
    "critic_count=ten",
    "critic_size=0",
    "critic_size=huge",
    "utd=0",
    "utd=none",
    "algorithm=apo",
    "algorithm=",
    "experiment=missing",
    "task=missing",
    "sampler=sglang",
    "learner=megatron",
    "cluster=slurm",
    "logging=mlfow",
    "policy=qwen9",
    "seed=-1",
    "seed=1e400",
    "max_steps=0",
    "max_steps=-3",
    "max_steps=many",
    "rollout.prompts=0",
    "rollout.responses=0",
    "rollout.response_length=0",
    "rollout.prompt_length=1",
    "rollout.async_generate_level=7",
    "sampler.temperature=-1",
    "sampler.top_p=0",
    "sampler.top_p=2",
    "sampler.top_k=-5",
    "learner.policy.lr=-1",
    "learner.policy.lr=inf",
    "learner.dtype=float8",
    "learner.device=tpu",
    "learner.threads=-1",
    "learner.micro_batch_tokens=0",
    "critics.split=by_token",
    "critics.aggregation=sum",
    "critics.mini_batches=0",
    "gates.mask_signal=vibes",
    "gates.scope=galaxy",
    "advantage.gamma=2",
    "advantage.lambd=-1",
    "advantage.estimator=magic",
    "policy_loss.clip_low=-1",
    "evaluation.problems=0",
    "evaluation.temperature=-1",
    "checkpoints.keep=0",
    "grading.deadline=0",
    "grading.workers=-1",
    "task.size=0",
    "task.size=1 rollout.prompts=64 evaluation.problems=0",
    "policy.model=missing/folder/of/nothing",
    "policy.model=model",
    "policy.model=other",
    "policy.model=hollow",
    "policy.model=bad.gguf",
    "policy.model=embedded:none",
    "task=jsonl",
    "task=jsonl task.path=missing.jsonl",
    "task=jsonl task.path=empty.jsonl",
    "task=jsonl task.path=broken.jsonl",
    "task=jsonl task.path=no_answer.jsonl",
    "task=jsonl task.path=twice.jsonl",
    "task=jsonl task.path=list.jsonl",
    "task=jsonl task.path=null.jsonl",
    "task=jsonl task.path=latin1.jsonl",
    "task=jsonl task.path=surrogate.jsonl",
    "task=jsonl task.path=notes.txt",
    "task=jsonl task.path=bad.parquet",
    "task=reasoning_gym task.name=no_such_task",
    "task.params.min_terms=9 task.params.max_terms=2",
    "cluster.policy.ranks=2",
    "--name ../outside",
    "--name ''",
    "--name torn --resume",
    "--name nothing --resume",
    "--resume",
    "--config-dir missing",
    "--config-dir mine experiment=odd",
    "--config-dir mine experiment=text",
    "--runs-dir notes.txt",
    "--no-such-option",
    "seed",
    "seed==1",
    "'seed=[1'",
    "seed=1,2",
)
OTHERS = (
    "sweep no_such_study",
    "sweep seed",
    "sweep mask_pct=2,3",
    "sweep 'mask_pct=interval(0,0.5)'",
    "sweep 'mask_pct=interval(0.5,0)' --trials 3 --direction maximize",
    "sweep mask_pct=0.1,0.2 --seeds 0",
    "sweep mask_pct=0.1,0.2 --jobs 0",
    "sweep show missing",
    "sweep join missing",
    "plan no_such_key=1",
    "plan policy.model=missing/folder/of/nothing",
    "config show no_such_key=1",
    "config describe gates.mask_pc",
    "config ls missing",
    "config import missing.yaml",
    "config import tree.yaml",
    "runs show missing",
    "runs show torn",
    "runs diff missing nothing",
    "analyze wordcloud missing",
    "analyze value-std missing",
    "analyze curves missing",
    "analyze no-such-analysis",
    "eval no_such_benchmark",
    "eval missing.jsonl",
    "eval two.jsonl --model missing/folder/of/nothing",
    "eval two.jsonl --model embedded:policy --samples 0",
    "eval two.jsonl --model embedded:policy --temperature -1",
    "eval show missing",
    "eval compare missing nothing",
    "eval grade missing.jsonl",
    "eval grade answers.jsonl",
    "warmstart",
    "warmstart --output models/x recipe=missing",
    "trian",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user's folder might hold."""
    made = tmp_path_factory.mktemp("user")
    for name, content in FILES.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return made


@pytest.fixture
def failing(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail; returns its one line."""
    monkeypatch.chdir(folder)
    for name, value in {"HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)

    def attempt(line: str) -> str:
        code = guarded(lambda: run(shlex.split(line)))
        printed = capfd.readouterr()
        assert code in (1, 2), printed
        assert "Traceback" not in printed.err and "Traceback" not in printed.out
        # What was being done may stand before it; nothing comes after.
        *progress, error = [text for text in printed.err.splitlines() if text.strip()]
        assert error.startswith("error: ") and not any("error" in text for text in progress), printed.err
        return error

    return attempt


@pytest.mark.parametrize("overrides", TRAIN)
def test_training_refuses(failing: Callable[..., str], folder: Path, overrides: str) -> None:
    before = sorted(folder.rglob("*"))
    line = failing(f"train --dry-run {overrides}" if "--resume" not in overrides else f"train {overrides}")
    assert len(line) < 600
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("command", OTHERS)
def test_a_command_refuses(failing: Callable[..., str], command: str) -> None:
    assert len(failing(command)) < 600


def test_there_are_a_hundred() -> None:
    assert len({*TRAIN, *OTHERS}) == len(TRAIN) + len(OTHERS) >= 100
    assert json.loads(str(FILES["answers.jsonl"])) == {"gold": "1"}
