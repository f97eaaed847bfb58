"""``asyppo eval`` of a model behind a local HTTP server: partial scores, retries, silent zeros."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_http import openai_http

from asyppo_cli.app import run

Eval = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def http() -> Iterator[Any]:
    with openai_http() as server:
        yield server


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, http: Any, capsys: pytest.CaptureFixture[str]) -> Eval:
    """Runs ``asyppo eval`` on four problems; returns the exit code and the results."""
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"\\boxed{{{i}}}", "answer": f"So it is.\n#### {i}"} for i in range(4)]
    Path("mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    url = f"http://127.0.0.1:{http.server_address[1]}/v1"

    def scoring(*options: str) -> tuple[int, list[dict[str, Any]]]:
        capsys.readouterr()
        code = run(["eval", "mine.jsonl", "--model", url, "--samples", "2", "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return scoring


def test_a_filtered_problem_leaves_a_partial_score_that_can_be_completed(scored: Eval, http: Any) -> None:
    def fault(handler: Any, body: dict[str, Any]) -> bool:
        if body["messages"][-1]["content"] != "\\boxed{2}":
            return False
        handler.reply(400, {"error": {"message": "content management policy"}})
        return True

    http.fault = fault
    code, [result] = scored()
    assert (code, result["scores"]["avg"]["value"], result["scores"]["kinds"]["failed"]) == (3, 0.75, 2)
    assert "content management policy" in result["warnings"][-1]
    sent = len(http.bodies)
    assert scored() == (3, [{**result, "drawn": 0, "seconds": pytest.approx(0, abs=60), "tokens": 0}])
    assert len(http.bodies) == sent
    http.fault = lambda _handler, _body: False
    code, [whole] = scored("--retry-failed")
    assert (code, whole["scores"]["avg"]["value"], whole["drawn"], whole["warnings"]) == (0, 1.0, 2, [])


def test_null_contents_are_no_silent_zero(scored: Eval, http: Any) -> None:
    def fault(handler: Any, _body: dict[str, Any]) -> bool:
        handler.reply(200, {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]})
        return True

    http.fault = fault
    code, [result] = scored()
    assert (code, result["scores"]["avg"]["value"], result["scores"]["empty"]) == (0, 0.0, 1.0)
    assert result["warnings"][0].startswith("100 % empty")


def test_lm_eval_samples_carry_what_was_sent(scored: Eval) -> None:
    _, [result] = scored("--system-prompt", "Be brief.")
    [samples] = (Path(result["folder"]) / "lm_eval").glob("samples_*.jsonl")
    row = json.loads(samples.read_text().splitlines()[0])
    sent = json.loads(row["arguments"]["gen_args_0"]["arg_0"])["messages"]
    assert [turn["content"] for turn in sent] == ["Be brief.", "\\boxed{0}"]


def test_a_limit_changes_no_setting(scored: Eval, http: Any) -> None:
    _, [few] = scored("--limit", "1")
    _, [all_of_them] = scored()
    assert (few["folder"], all_of_them["drawn"]) == (all_of_them["folder"], 6)
    assert {body["max_tokens"] for body in http.bodies} == {32}
