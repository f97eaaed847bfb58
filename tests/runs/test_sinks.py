from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from asyppo_cli.requirements import install_command
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.sinks import GuardedSink, has_wandb_key, open_sinks
from asyppo_cli.system import free_port


def test_tensorboard_reads_back_what_was_written(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (sink,) = open_sinks(RunDirectory(tmp_path), "off", "p", True, {}, lambda text: None)
    for step in (1, 2):
        sink.write({"step": step, "reward/mean": step / 4, "policy/kl": float("nan")})
    sink.close()
    reader = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    reader.Reload()
    assert reader.Tags()["scalars"] == ["reward/mean"]
    assert [(event.step, event.value) for event in reader.Scalars("reward/mean")] == [(1, 0.25), (2, 0.5)]


def test_a_key_is_found_where_wandb_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not has_wandb_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x")
    assert has_wandb_key()
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert has_wandb_key()


@pytest.mark.parametrize(("package", "asked"), [("wandb", ("offline", False)), ("tensorboard", ("off", True))])
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, asked: tuple[Any, bool]
) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ValueError, match=re.escape(install_command("logging"))):
        open_sinks(RunDirectory(tmp_path), asked[0], "p", asked[1], {}, lambda text: None)


class StubWandb:
    """What the sink asks of wandb."""

    def __init__(self) -> None:
        self.init_arguments: list[dict[str, Any]] = []
        self.logged: list[tuple[dict[str, float], int]] = []

    def init(self, **arguments: Any) -> StubWandb:
        self.init_arguments.append(arguments)
        return self

    def Settings(self, **settings: Any) -> dict[str, Any]:
        return settings

    def log(self, row: dict[str, float], step: int) -> None:
        self.logged.append((row, step))

    def finish(self) -> None:
        self.logged.append(({}, -1))


def test_without_a_key_wandb_stays_offline_and_resumes_under_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, notices = StubWandb(), list[str]()
    monkeypatch.setitem(sys.modules, "wandb", stub)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for _ in range(2):
        sinks: Sequence[Any] = open_sinks(RunDirectory(tmp_path), "online", "p", False, {"seed": 1}, notices.append)
        sinks[0].write({"step": 3, "reward/mean": 0.5})
        sinks[0].close()
    first, second = stub.init_arguments
    assert first["mode"] == "offline"
    assert first["dir"] == tmp_path
    # Offline, two attempts under one id would be two folders with the same steps.
    assert first["group"] == second["group"] == tmp_path.name
    assert second["id"] == f"{first['id']}-2" and second["name"] != first["name"]
    assert stub.logged[:2] == [({"step": 3, "reward/mean": 0.5}, 3), ({}, -1)]
    assert "offline" in notices[0]


def test_without_a_network_wandb_is_offline_within_a_bounded_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, notices = StubWandb(), list[str]()
    monkeypatch.setitem(sys.modules, "wandb", stub)
    monkeypatch.setenv("WANDB_API_KEY", "x")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{free_port('127.0.0.1')}")
    open_sinks(RunDirectory(tmp_path), "online", "p", False, {}, notices.append)
    assert [arguments["mode"] for arguments in stub.init_arguments] == ["offline"]
    assert len(notices) == 1 and "\n" not in notices[0]


def test_a_sink_that_fails_is_left_with_one_notice() -> None:
    class Broken:
        calls = 0

        def write(self, row: Mapping[str, float]) -> None:
            self.calls += 1
            raise BrokenPipeError("the service is gone\nTraceback")

        def close(self) -> None:
            self.calls += 1

    notices, broken = list[str](), Broken()
    sink = GuardedSink("wandb", broken, notices.append)
    for step in range(3):
        sink.write({"step": step})
    sink.close()
    assert broken.calls == 1
    assert len(notices) == 1 and "\n" not in notices[0]
