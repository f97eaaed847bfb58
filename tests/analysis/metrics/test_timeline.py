from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.metrics.timeline import Bar, draw_timeline, finding, overlap, read_timeline, timeline, timeline_csv
from asyppo_cli.runs.directory import RunDirectory

# Two steps: while the trainer learns from one batch, the sampler draws the next.
BARS = [
    Bar("trainer", 1, "sample", 100.0, 104.0),
    Bar("trainer", 1, "policy", 104.0, 110.0),
    Bar("trainer", 1, "wait", 110.0, 111.0),
    Bar("sampler", 2, "sample", 104.0, 111.0),
    Bar("trainer", 2, "policy", 111.0, 115.0),
    Bar("sampler", 3, "sample", 111.0, 114.0),
]


def write(folder: Path, *bars: Bar) -> RunDirectory:
    run = RunDirectory(folder)
    run.timeline.write_text("".join(json.dumps(vars(bar)) + "\n" for bar in bars))
    return run


def test_what_is_hidden_by_training_is_counted() -> None:
    shown = timeline("r", BARS, [1, 2])
    assert shown.tracks == ["trainer", "sampler"] and shown.steps == [1, 2] and shown.seconds == 15.0
    # 4 + 7 + 3 seconds of sampling, of which 6 + 3 fall into the policy's updates.
    assert overlap(shown) == (14.0, 9.0)
    assert "64% of 14.00 s" in finding(shown) and "waited 1.00 of 15.00 s" in finding(shown)


def test_a_step_shows_what_the_other_lane_did_meanwhile() -> None:
    shown = timeline("r", BARS, [2])
    assert [(bar.track, bar.step, bar.start, bar.end) for bar in shown.bars] == [
        ("trainer", 2, 0.0, 4.0),
        ("sampler", 3, 0.0, 3.0),
    ]


def test_steps_done_again_after_a_resume_count_once(tmp_path: Path) -> None:
    again = Bar("trainer", 1, "policy", 200.0, 201.0)
    bars = read_timeline(write(tmp_path, *BARS, again))
    assert bars == [again]


def test_a_torn_last_line_is_left_out_and_a_damaged_one_named(tmp_path: Path) -> None:
    run = write(tmp_path, *BARS)
    run.timeline.write_text(run.timeline.read_text() + '{"step": 2, "la')
    assert read_timeline(run) == sorted(BARS, key=lambda bar: bar.step)
    run.timeline.write_text('{"step": 2}\n')
    with pytest.raises(ValueError, match="line 1, is damaged"):
        read_timeline(run)


def test_steps_that_are_not_there_are_named() -> None:
    with pytest.raises(ValueError, match=r"no timeline of steps \[7\]: there are 1 to 3"):
        timeline("r", BARS, [7])


def test_every_bar_is_drawn_and_in_the_csv() -> None:
    shown = timeline("r", BARS, [1, 2])
    drawn = {(patch.get_x(), patch.get_width()) for patch in draw_timeline(shown).axes[0].patches}
    assert {(bar.start, bar.end - bar.start) for bar in shown.bars} <= drawn
    lines = timeline_csv(shown).splitlines()
    assert lines[0] == "track,step,phase,start_seconds,end_seconds" and lines[1] == "trainer,1,sample,0,4"
    assert len(lines) == 1 + len(BARS)
