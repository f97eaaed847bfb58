"""The process around vLLM: it ends with its parent, and says how it ended. vLLM itself is not needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from asyppo_cli.engines.vllm.engine import VllmSettings
from asyppo_cli.engines.vllm.process import EngineProcess
from asyppo_cli.ports import WorkerLost
from asyppo_cli.types import SamplingParams

PLAN = VllmSettings(
    model="nowhere",
    revision=None,
    eos_token_ids=(1,),
    max_model_len=64,
    device="cpu",
    dtype="float32",
    kv_cache_gib=0.25,
    memory_share=0.5,
    tensor_parallel=1,
    enforce_eager=True,
    sleep=False,
    threads=1,
    transfer=None,
)

# A package called vllm whose engine sleeps for good when it is asked to sample, beside a process of its own.
FAKE = """
import os, subprocess, sys, time
class LLM:
    def __init__(self, **arguments):
        if arguments["model"] == "broken":
            raise ValueError("Model architectures ['Odd'] are not supported for now.")
        if arguments["model"] == "dying":
            print("SomeError: the last line", flush=True)
            os._exit(3)
        self.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self.llm_engine = self
        self.model_config = self
    def get_vocab_size(self): return 2
    def collective_rpc(self, method, kwargs):
        return [self.child.pid] if method == "pid" else [None]
    def generate(self, requests, settings, use_tqdm):
        if len(requests) > 1:
            time.sleep(600)
        logprobs = type("L", (), {"token_ids": [1], "logprobs": [-0.001]})
        output = type("O", (), {"token_ids": [1], "logprobs": logprobs})
        return [type("R", (), {"outputs": [output]})]
    def reset_prefix_cache(self): return False
class SamplingParams:
    def __init__(self, **arguments): pass
"""


@pytest.fixture(autouse=True)
def fake_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "vllm.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(tmp_path / "fake"))


def alive(pid: int) -> bool:
    """Whether a process computes; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_dead(*pids: int) -> None:
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.05)


def plan_of(model: str) -> VllmSettings:
    return VllmSettings(**{**vars(PLAN), "model": model})


def test_close_ends_everything_also_while_it_samples() -> None:
    engine = EngineProcess(PLAN, None)
    (grandchild,) = engine.call_workers("pid")
    failures: list[BaseException] = []

    def sample() -> None:
        try:
            engine.sample([[3], [4]], 1, SamplingParams(1, 1.0, 1.0, 0, 0))
        except WorkerLost as error:
            failures.append(error)

    thread = threading.Thread(target=sample)
    thread.start()
    time.sleep(0.3)
    engine.close()
    thread.join(20)
    assert not thread.is_alive() and len(failures) == 1
    wait_until_dead(engine.pid, grandchild)


TRAINER = """
import sys, time
sys.path[:0] = sys.argv[1:]
from test_plan import PLAN
from asyppo_cli.engines.vllm.process import EngineProcess
engine = EngineProcess(PLAN, None)
print(engine.pid, *engine.call_workers("pid"), flush=True)
time.sleep(600)
"""


def test_no_process_outlives_a_killed_trainer(tmp_path: Path) -> None:
    (tmp_path / "fake" / "test_plan.py").write_text(
        f"from asyppo_cli.engines.vllm.engine import VllmSettings\nPLAN = VllmSettings(**{vars(PLAN)!r})\n"
    )
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(tmp_path / "fake")], stdout=subprocess.PIPE, text=True
    )
    assert trainer.stdout is not None
    pids = [int(pid) for pid in trainer.stdout.readline().split()]
    trainer.stdout.close()
    assert len(pids) == 2 and all(alive(pid) for pid in pids)
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    wait_until_dead(*pids)


def test_a_process_that_is_killed_is_lost_and_says_so() -> None:
    engine = EngineProcess(PLAN, None)
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(WorkerLost, match=r"the process of vLLM was killed, perhaps because memory ran out.*\(wake\)"):
        engine.wake()
    engine.close()


def test_an_engine_that_cannot_start_is_one_line() -> None:
    with pytest.raises(ValueError, match="policy.model=broken: vLLM does not know the architecture Odd"):
        EngineProcess(plan_of("broken"), None)


def test_an_engine_that_dies_at_its_start_quotes_its_log(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    with pytest.raises(WorkerLost, match="ended with code 3: SomeError: the last line") as caught:
        EngineProcess(plan_of("dying"), log)
    assert str(log) in str(caught.value)
    assert "SomeError" in log.read_text()


def test_a_cache_that_keeps_old_keys_is_an_error() -> None:
    engine = EngineProcess(PLAN, None)
    try:
        with pytest.raises(RuntimeError, match="could not drop its prefix cache"):
            engine.reset_cache()
    finally:
        engine.close()
