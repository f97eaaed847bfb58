"""Records as arrays: what was written is what is read, and what cannot be read is said in one line."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.tokens.table import choose_steps, load, require_disagreement, steps_words
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import read_table

MakeRun = Callable[..., RunDirectory]
NAMES = ["values", "value_std", "token", "prompt_id", "advantage_kept", "reward", "token_id"]


def test_what_is_read_is_what_was_written(make_run: MakeRun) -> None:
    run = make_run()
    table, frame = load(run, [1, 5, 9], NAMES), pd.concat(read_table(run.records(n)).to_pandas() for n in (1, 5, 9))
    assert len(table) == 21 and table.critics == 2 and table.responses == 6
    for name in ("value_0", "value_1", "value_std", "advantage_kept", "reward", "token_id"):
        np.testing.assert_array_equal(table[name], frame[name].to_numpy())
    for name in ("token", "prompt_id"):
        assert [table.texts[name][code] for code in table[name]] == frame[name].tolist()
    assert table["value_std"].dtype == np.float32 and table["advantage_kept"].dtype == np.bool_
    assert table.starts.tolist() == [0, 3, 4, 8, 10, 16, 21]
    assert table.response.tolist() == [0] * 3 + [1] + [2] * 4 + [3] * 2 + [4] * 6 + [5] * 5
    assert [(step, rows.start, rows.stop) for step, rows in table.slices()] == [(1, 0, 8), (5, 8, 16), (9, 16, 21)]


def test_a_part_is_what_loading_it_alone_gives(make_run: MakeRun) -> None:
    run = make_run()
    part, alone = load(run, [1, 5, 9], ["value_std", "reward"]).part([5, 9]), load(run, [5, 9], ["value_std", "reward"])
    np.testing.assert_array_equal(part["value_std"], alone["value_std"])
    np.testing.assert_array_equal(part.of_response("reward"), alone.of_response("reward"))
    assert part.starts.tolist() == alone.starts.tolist() == [0, 2, 8, 13]
    assert list(part.slices()) == list(alone.slices())


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("40", [40]), ("10,30", [10, 30]), ("15-35", [20, 30]), ("first", [10]), ("middle", [30]), ("last", [50]),
        ("early", [10]), ("late", [50]), ("all", [10, 20, 30, 40, 50]), ("last,10-20", [10, 20, 50]),
    ],
)  # fmt: skip
def test_steps_are_chosen(make_run: MakeRun, text: str, steps: list[int]) -> None:
    run = make_run(steps={step: [2] for step in (10, 20, 30, 40, 50)})
    assert choose_steps(run, text) == steps


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("33", "step 33 of run run was not recorded; nearest: 30 (recorded: 10 to 50, every 10)"),
        ("60-90", "nearest: 50"),
        ("mid", "nearest: middle"),
        ("", "is no step"),
        ("-3", "is no step"),
        ("1e3", "is no step"),
    ],
)
def test_a_step_that_is_not_there_is_named(make_run: MakeRun, text: str, said: str) -> None:
    run = make_run(steps={step: [2] for step in (10, 20, 30, 40, 50)})
    with pytest.raises(ValueError, match=".") as caught:
        choose_steps(run, text)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_steps_in_words() -> None:
    assert steps_words([40]) == "step 40"
    assert steps_words([3, 9]) == "steps 3, 9"
    assert steps_words([5, 10, 15, 20]) == "steps 5 to 20, every 5"
    assert steps_words([1, 2, 3, 4]) == "steps 1 to 4"
    assert steps_words([1, 2, 3, 5, 8, 13, 21]) == "steps 1, 2, 3, ... 21"


def test_a_strangers_file_among_the_records_is_no_step(make_run: MakeRun) -> None:
    run = make_run()
    (run.records_folder / "step-last.parquet").write_bytes(b"")
    assert choose_steps(run, "all") == [1, 5, 9]


def test_a_run_without_records_is_told_how_to_get_them(make_run: MakeRun) -> None:
    run = make_run()
    for path in run.records_folder.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"run run has no token records: train with records\.every=N"):
        choose_steps(run, "all")


def spoil(run: RunDirectory, change: Callable[[pa.Table], pa.Table]) -> None:
    path = run.records(5)
    pq.write_table(change(pq.read_table(path)), path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop_columns(["value_std"]), "has no value_std: delete it"),
        (lambda t: t.slice(0, 0), "holds no token"),
        (lambda t: t.take(list(range(len(t)))[::-1]), "rows are not in order"),
        (lambda t: t.set_column(9, "value_std", pa.array(["x"] * len(t))), "is damaged"),
        (lambda t: t.set_column(9, "value_std", pa.array([None] * len(t), pa.float32())), "is damaged"),
        (lambda t: t.drop_columns(["value_1"]), "has no value_1"),
    ],
)
def test_a_foreign_file_is_named(make_run: MakeRun, change: Callable[[Any], Any], said: str) -> None:
    run = make_run()
    spoil(run, change)
    with pytest.raises(ValueError, match="step-000005") as caught:
        load(run, [1, 5], ["values", "value_std"])
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1 no more", None])
def test_a_torn_file_is_named(make_run: MakeRun, content: bytes | None) -> None:
    run = make_run()
    path = run.records(5)
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(ValueError, match=r"step-000005\.parquet is damaged: delete it"):
        load(run, [1, 5], ["value_std"])


def test_more_files_than_a_process_may_open_are_read(make_run: MakeRun) -> None:
    run = make_run()
    steps = range(100, 200)
    for step in steps:
        run.records(step).write_bytes(run.records(5).read_bytes())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, hard))
    try:
        table = load(run, [*steps], ["value_std"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(table) == 100 * len(load(run, [5], ["value_std"]))


@pytest.mark.parametrize(("critics", "said"), [(1, "one critic only"), (0, "no critics")])
def test_one_critic_cannot_disagree(make_run: MakeRun, critics: int, said: str) -> None:
    run = make_run(critics=critics)
    with pytest.raises(ValueError, match=said):
        require_disagreement(run)
