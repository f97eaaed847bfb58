"""How waiting threads are told to give their cores up, in every process and before torch is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from asyppo_cli import openmp
from asyppo_cli.doctor.machine import cores_finding
from asyppo_cli.engines.ray.actors import environment
from asyppo_cli.engines.ray.placement import NodeSlot
from asyppo_cli.engines.vllm.process import child_environment
from asyppo_cli.system import competing_threads

SHOW = "import os, json; print(json.dumps(o.wait_settings(os.environ)))"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in openmp.VARIABLES:
        # Set first, so that it is put back although the code under test sets it.
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)


def test_variables_are_set_unless_the_user_has_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    openmp.yield_cores()
    assert openmp.wait_settings(os.environ) == openmp.SHORT_SPIN
    for name in openmp.SHORT_SPIN:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    openmp.yield_cores()
    assert openmp.wait_settings(os.environ) == {"OMP_WAIT_POLICY": "ACTIVE"}


def test_the_command_line_sets_them_before_torch_is_loaded() -> None:
    code = (
        "import sys, asyppo_cli.app as app, asyppo_cli.openmp as o\n"
        "app.run = lambda arguments: print('torch' in sys.modules) or 0\n"
        "try: app.main()\nfinally: " + SHOW
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, seen = done.stdout.splitlines()
    assert loaded == "False" and json.loads(seen) == openmp.SHORT_SPIN


def test_ray_ranks_and_vllm_inherit_them() -> None:
    openmp.yield_cores()
    plan: Any = type("Plan", (), {"threads": 1, "device": "cpu"})()
    for given in (environment(NodeSlot(0, 1.0, 0.0)), child_environment(plan)):
        assert openmp.wait_settings(given) == openmp.SHORT_SPIN and given["OMP_NUM_THREADS"] == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="the number of running threads is Linux's")
def test_processes_that_compute_now_are_counted() -> None:
    spinners = [subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)]
    spinners += [subprocess.Popen(spinners[0].args, stdout=subprocess.PIPE)]
    try:
        for spinner in spinners:
            assert spinner.stdout is not None and spinner.stdout.readline()
        assert competing_threads() >= 2
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.communicate()


def test_a_busy_machine_is_noticed() -> None:
    assert openmp.busy_notice(4, 1.0) is None and openmp.busy_notice(2, 6.0) is not None
    assert cores_finding(4, 1.0).state == "fine"
    assert cores_finding(2, 6.0).state == "warning"
