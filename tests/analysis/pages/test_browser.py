"""The pages in a real browser: Debian's chromium, driven over its own pipe. Skipped where there is none."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.pages.token_page import token_data, token_page
from analysis.pages.token_source import probe_readings
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import RecordTexts, write_records

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium to draw the pages: apt-get install chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]


class Browser:
    """One tab. Speaks the DevTools protocol: JSON ended by NUL, in on descriptor 3, out on 4."""

    def __init__(self, profile: Path) -> None:
        read_in, self._in = os.pipe()
        self._out, write_out = os.pipe()
        line = f'exec "$0" "$@" 3<&{read_in} 4>&{write_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", line, str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(read_in, write_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_in)
        os.close(write_out)
        self._number, self._buffer, self._session = 0, b"", None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._out, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def open(self, page: Path, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def run(self, code: str) -> Any:
        result = self.call("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def key(self, name: str) -> None:
        text = {"text": name} if len(name) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name)

    def point(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self, path: Path) -> None:
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=False)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """What the page logged, threw, or was refused; and whatever it asked the network for."""
        bad = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled", "Page.javascriptDialogOpening")
        asked = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        outside = [url for url in asked if not url.startswith(("file:", "data:"))]
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in bad] + outside

    def close(self) -> None:
        self._session = None
        os.write(self._in, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


HOSTILE = [
    "</script><script>document.title='taken'</script>",
    "<!--",
    "<img src=x onerror=document.title='taken'>",
    "<|im_end|>",
    "a\n\tb",
    "  ",
    "\u2028",
    "\x1b[31m",
    "\x00",
    "\ufffd",
    "\u200b",
    "\u202e",
    "\u05e9\u05dc\u05d5\u05dd",
    "\u0301",
    "",
    "\\udce9",
    "${1}`'\"",
]


def probe(path: Path, step: int) -> None:
    """Two responses of hostile tokens; a token's numbers grow along the text, and with the step."""
    n = len(HOSTILE)
    columns: dict[str, Any] = {
        "step": np.full(2 * n, step),
        "prompt_id": ["__proto__"] * (2 * n),
        "response_id": np.repeat([0, 1], n),
        "position": np.tile(np.arange(n), 2),
        "token_id": np.tile(np.arange(n), 2),
        "token": HOSTILE * 2,
        "advantage_kept": np.tile(np.arange(n) != 1, 2),
        "entropy_kept": np.tile(np.arange(n) != 2, 2),
        "reward": np.repeat([1.0, 0.0], n),
    }
    names = ("value_0", "value_1", "value_mean", "value_std", "entropy", "logprob", "gradient_norm")
    columns |= {name: np.tile(np.arange(n) / n, 2) for name in names}
    columns["advantage"] = np.repeat([0.5, -0.5], n) * step
    question = "1 < 2 & <script>document.title='taken'</script>\x00\u202e"
    answers = [{"verdict": "right", "extracted": "<b>2</b>", "truncated": False}]
    answers += [{"verdict": "<i>wrong</i>", "extracted": None, "truncated": True}]
    write_records(path, columns, RecordTexts({"__proto__": {"problem": question, "answer": "<hr>"}}, answers))


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = RunDirectory(tmp_path_factory.mktemp("runs") / "run")
    for step in (0, 10, 20):
        probe(run.probes(step), step)
    data = token_data("<u>run</u>", probe_readings(run, None, "all", 8), 20, "what </title>")
    path = run.path / "tokens.html"
    path.write_text(token_page(data), encoding="utf-8")
    return path


def test_tokens_are_drawn_and_nothing_hostile_runs(browser: Browser, token_file: Path) -> None:
    browser.open(token_file)
    assert browser.run("document.title") == "<u>run</u>: what </title>"
    assert browser.run("document.querySelectorAll('.text .t').length") == 2 * len(HOSTILE)
    assert (
        browser.run("document.querySelectorAll('main script, main img, main b, main i, main hr, main u').length") == 0
    )
    first = browser.run("[...document.querySelector('.text').querySelectorAll('.t')].map(t => t.textContent)")
    shown = ["<|im_end|>", "a↵\n⇥\tb", "··", "LS", "ESC[31m", "NUL", "part of a character, #9", "ZWSP", "RLO"]
    assert first[:3] == HOSTILE[:3] and first[3:12] == shown
    assert first[12:] == [*HOSTILE[12:14], "empty #14", *HOSTILE[15:]]
    question = browser.run("document.querySelector('.prompt').textContent")
    assert question == "1 < 2 & <script>document.title='taken'</script>⟨NUL⟩⟨RLO⟩"
    facts = browser.run("[...document.querySelectorAll('.facts')].map(f => f.textContent)")
    assert "<b>2</b>" in facts[0] and "<hr>" in facts[0] and "none found" in facts[1] and "cut off" in facts[1]
    assert browser.complaints() == []


def test_an_injected_script_would_be_refused(browser: Browser, token_file: Path, tmp_path: Path) -> None:
    # The second wall: even if markup of a stranger got in, the policy lets neither it nor the network act.
    broken = "<script>document.title='taken'</script><img src='http://127.0.0.1:9/x'><b onclick='x' style='color:red'>"
    page = tmp_path / "broken.html"
    page.write_text(token_file.read_text(encoding="utf-8").replace("<noscript>", broken + "<noscript>"), "utf-8")
    browser.open(page)
    assert browser.run("document.title") != "taken"
    assert browser.run("document.images[0].naturalWidth") == 0
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())


def test_colours_and_steps_switch(browser: Browser, token_file: Path) -> None:
    browser.open(token_file)
    colours = "[...document.querySelectorAll('.text .t')].map(t => getComputedStyle(t).backgroundColor)"
    count = len(HOSTILE)
    by_disagreement = browser.run(colours)
    assert by_disagreement[0] != by_disagreement[count - 1] and by_disagreement[:count] == by_disagreement[count:]
    browser.run(
        "const pick = document.getElementById('colour'); pick.value = 'advantage'; "
        "pick.dispatchEvent(new Event('change'))"
    )
    by_advantage = browser.run(colours)
    assert len(set(by_advantage[:count])) == 1 and by_advantage[0] != by_advantage[count]
    assert browser.run("document.getElementById('low').textContent") == "-10"
    assert browser.run("document.getElementById('at').textContent") == "step 20: 1 of 2 right"
    browser.key("[")
    assert browser.run("document.getElementById('at').textContent") == "step 10: 1 of 2 right"
    assert browser.run(colours)[0] != by_advantage[0]
    browser.run("document.getElementById('back').click()")
    assert browser.run("document.getElementById('at').textContent") == "step 0: 1 of 2 right"
    assert browser.run("document.getElementById('back').disabled")
    browser.open(token_file, dark=True)
    assert browser.run(colours) != by_disagreement


def test_gates_are_marked_without_colour(browser: Browser, token_file: Path) -> None:
    browser.open(token_file)
    style = "getComputedStyle(document.querySelectorAll('.text .t')[{}]).border{}"
    assert browser.run(style.format(1, "Bottom")).startswith("2px solid rgb(")
    assert browser.run(style.format(2, "Top")).startswith("2px dotted rgb(")
    for place, side in ((0, "Bottom"), (1, "Top"), (2, "Bottom")):
        assert browser.run(style.format(place, side)) == "2px solid rgba(0, 0, 0, 0)"


def test_a_token_tells_its_numbers_to_pointer_and_keys(browser: Browser, token_file: Path) -> None:
    browser.open(token_file)
    details = "document.getElementById('details')"
    assert browser.run(f"{details}.hidden")
    x, y = browser.run(
        "(() => { const b = document.querySelectorAll('.text .t')[3].getBoundingClientRect(); "
        "return [b.x + 4, b.y + 8]; })()"
    )
    browser.point(x, y)
    assert "“<|im_end|>”" in browser.run(f"{details}.textContent")
    browser.point(2, 2)
    assert browser.run(f"{details}.hidden")
    browser.run("document.querySelector('.text .t').focus()")
    browser.key("ArrowRight")
    told = browser.run(f"{details}.innerText")
    for words in ("position\t1 (of 0 to 16)", "token id\t1", "value\t0.0588", "advantage masked; entropy bonus counts"):
        assert words in told, told
    browser.key("End")
    assert browser.run("document.activeElement.dataset.i") == str(len(HOSTILE) - 1)
    browser.key("Escape")
    assert browser.run(f"{details}.hidden")
    assert browser.run("document.querySelectorAll('.text .t[tabindex=\"0\"]').length") == 2
    assert browser.complaints() == []


def test_a_narrow_page_does_not_scroll_sideways(browser: Browser, token_file: Path) -> None:
    browser.open(token_file, width=360)
    assert browser.run("document.documentElement.scrollWidth") <= 360


def test_a_report_is_drawn_without_any_script(browser: Browser, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from analysis.run_report.report import report
    from asyppo_cli.runs.metric_log import metrics_line

    run = RunDirectory(tmp_path / "<u>run")
    probe(run.records(10), 10)
    run.config.write_text('critics: {count: 2}\ntask: {name: "</script><script>document.title=1</script>"}\n', "utf-8")
    steps = [{"step": step, "reward/mean": step / 9, "policy/entropy": 1.0} for step in range(1, 10)]
    run.metrics.write_text("".join(map(metrics_line, steps)), "utf-8")
    page = tmp_path / "report.html"
    page.write_text(report([run], datetime(2026, 11, 24, tzinfo=UTC), "9"), "utf-8")
    browser.open(page, dark=True)
    assert browser.run("document.title") == "Report: <u>run"
    assert browser.run("document.scripts.length") == 0
    assert browser.run("[...document.images].map(i => i.naturalWidth > 100)") == [True] * 4
    assert browser.run("document.querySelectorAll('main script, main u, main b, main hr').length") == 0
    assert browser.run("document.querySelector('.text').textContent").startswith(HOSTILE[0])
    assert browser.complaints() == []
    browser.open(page, width=360)
    assert browser.run("document.documentElement.scrollWidth") <= 360
