"""One evaluation: nothing twice, nothing lost, nothing mixed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from asyppo_cli.evaluation import grading_queue
from asyppo_cli.evaluation.sampling import Note, SampleRange, SampleSource, ignore
from asyppo_cli.evaluation.session import Evaluation, Redo, evaluate
from asyppo_cli.runs.evaluations import EvaluationDirectory, FailedSample, Sample, read_samples, read_verdicts
from asyppo_cli.tasks.grading.reasoning import answer_part
from asyppo_cli.tasks.grading.verify import verify
from asyppo_cli.types import Problem, Verdict

PROBLEMS = [Problem(f"p{i}", f"What is {i} + 0?", str(i)) for i in range(6)]


class Grading:
    """Grades integers in this process, and counts."""

    def __init__(self) -> None:
        self.graded = 0

    def grade(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Verdict]:
        self.graded += len(texts)
        found = [verify(problem.answer, text, problem.entry) for problem, text in zip(problems, texts, strict=True)]
        return [Verdict(kind, float(kind == "right"), answer) for kind, answer in found]

    def close(self) -> None:
        pass


class Watcher:
    """Keeps what an evaluation reports."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, title: str, total: int, done: int) -> None:
        self.began = (total, done)

    def advance(self, done: int, text: str) -> None:
        self.done = done

    def finish(self, text: str) -> None:
        self.text = text

    def note(self, text: str) -> None:
        self.notes.append(text)

    def close(self) -> None:
        pass


class Scripted:
    """A source whose sample n of problem i is right if i + n is even; it dies after ``alive`` samples."""

    def __init__(self, alive: int = 10**9, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.alive, self.error, self.drawn = alive, error, 0

    def draw(self, wanted: Sequence[SampleRange], note: Note = ignore) -> Iterator[list[Sample | FailedSample]]:
        for want in wanted:
            for number in range(want.start, want.stop):
                if self.drawn == self.alive:
                    raise self.error("the server has stopped")
                self.drawn += 1
                answer = want.position if (want.position + number) % 2 == 0 else 99
                yield [Sample(want.problem.id, number, f"\\boxed{{{answer}}}", 5 + number, number == 1)]


def never() -> SampleSource:
    raise AssertionError("the model was opened")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Evaluation]:
    def making(source: Callable[[], SampleSource], samples: int = 2, count: int = 6) -> Evaluation:
        settings = {"benchmark": "b", "benchmark_revision": "1", "model": "m", "engine": "e", "temperature": 1.0}
        directory = EvaluationDirectory(tmp_path / "m" / "b" / "x")
        return Evaluation(
            directory,
            "b  m",
            PROBLEMS[:count],
            samples,
            settings,
            {"source": "s"},
            source,
            lambda p: f"<user>{p.question}",
        )

    return making


def test_scores_and_files(make: Callable[..., Evaluation]) -> None:
    outcome = evaluate(make(Scripted), Grading(), Watcher())
    assert outcome.scores.avg.value == 0.5
    assert outcome.scores.pass_at[2].value == 1.0
    assert (outcome.scores.length, outcome.scores.truncated, outcome.drawn) == (5.5, 0.5, 12)
    directory = make(never).directory
    scores = json.loads(directory.scores.read_text())
    assert scores["scores"] == outcome.scores.as_json()
    assert scores["settings"] == make(never).settings
    assert scores["grader"] == grading_queue.grader_version()
    votes = {(row.id, row.sample): row.vote for rows in read_verdicts(directory).values() for row in rows.values()}
    assert votes["p3", 0] == "99"
    assert votes["p3", 1] == "3"


def test_the_same_again_opens_no_model_and_grades_nothing(make: Callable[..., Evaluation]) -> None:
    first = evaluate(make(Scripted), Grading(), Watcher())
    before = {path: path.read_bytes() for path in make(never).directory.path.rglob("*") if path.is_file()}
    grader = Grading()
    again = evaluate(make(never), grader, Watcher())
    assert (again.scores, again.graded, again.drawn) == (first.scores, first.graded, 0)
    assert grader.graded == 0
    after = {path: path.read_bytes() for path in make(never).directory.path.rglob("*") if path.is_file()}
    assert {p: b for p, b in after.items() if p.name != ".lock"} == {
        p: b for p, b in before.items() if p.name != ".lock"
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_evaluation_keeps_what_it_has_and_goes_on(
    make: Callable[..., Evaluation], tmp_path: Path, error: type[BaseException]
) -> None:
    whole = evaluate(make(Scripted), Grading(), Watcher())
    there = replace(make(Scripted), directory=EvaluationDirectory(tmp_path / "other"))
    with pytest.raises(error):
        evaluate(replace(there, open_source=lambda: Scripted(7, error)), Grading(), Watcher())
    assert sum(map(len, read_samples(there.directory).values())) == 7
    source = Scripted()
    outcome = evaluate(replace(there, open_source=lambda: source), Grading(), Watcher())
    assert (outcome.scores, outcome.graded, source.drawn) == (whole.scores, whole.graded, 5)


def test_gaps_are_filled_and_nothing_is_drawn_twice(make: Callable[..., Evaluation]) -> None:
    whole = evaluate(make(Scripted, samples=3), Grading(), Watcher())
    samples = make(never).directory.samples
    kept = [line for line in samples.read_text().splitlines(keepends=True) if '"sample": 1' in line or '"p4"' in line]
    samples.write_text("".join(kept))
    source = Scripted()
    again = evaluate(make(lambda: source, samples=3), Grading(), Watcher())
    assert (again.scores, source.drawn, again.drawn) == (whole.scores, 10, 10)
    assert len(samples.read_text().splitlines()) == 18


def test_more_samples_and_more_problems_extend_what_is_there(make: Callable[..., Evaluation]) -> None:
    evaluate(make(Scripted, samples=2, count=3), Grading(), Watcher())
    source, grader = Scripted(), Grading()
    outcome = evaluate(make(lambda: source, samples=4, count=6), grader, Watcher())
    assert source.drawn == 6 * 4 - 3 * 2 == outcome.drawn
    # Every sample once, and the answers that equal no gold answer with each other, as one class has a new member.
    assert sum(map(len, read_verdicts(make(never).directory).values())) == 24
    fewer = evaluate(make(never, samples=1, count=2), grader, Watcher())
    assert [[mark.right for mark in problem] for problem in fewer.graded] == [[True], [False]]


def test_regrading_samples_nothing(make: Callable[..., Evaluation]) -> None:
    first = evaluate(make(Scripted), Grading(), Watcher())
    grader = Grading()
    again = evaluate(make(never), grader, Watcher(), Redo(regrade=True))
    assert again.scores == first.scores
    assert grader.graded >= 12


def test_verdicts_of_another_grader_do_not_count(
    make: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(make(Scripted), Grading(), Watcher())
    monkeypatch.setattr("asyppo_cli.evaluation.session.grader_version", lambda _: "another")
    grader, watcher = Grading(), Watcher()
    evaluate(make(never), grader, watcher)
    assert grader.graded >= 12
    assert [note.split()[0] for note in watcher.notes] == ["12"]
    assert {row.grader for rows in read_verdicts(make(never).directory).values() for row in rows.values()} == {
        "another"
    }


def test_a_fresh_start_draws_all_again(make: Callable[..., Evaluation]) -> None:
    evaluate(make(Scripted), Grading(), Watcher())
    source = Scripted()
    evaluate(make(lambda: source), Grading(), Watcher(), Redo(fresh=True))
    assert source.drawn == 12


def test_two_processes_do_not_meet_in_one_evaluation(make: Callable[..., Evaluation]) -> None:
    evaluation = make(Scripted)
    evaluation.directory.path.mkdir(parents=True)
    holding = (
        "import sys, pathlib\nfrom asyppo_cli.runs.files.lock import lock_run\n"
        "with lock_run(pathlib.Path('x'), pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", holding, str(evaluation.directory.lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=str(other.pid)):
            evaluate(evaluation, Grading(), Watcher())
        assert other.stdin is not None
        other.stdin.close()


def test_the_files_of_lm_evaluation_harness(make: Callable[..., Evaluation]) -> None:
    outcome = evaluate(make(Scripted), Grading(), Watcher())
    folder = make(never).directory.lm_eval_folder
    results = json.loads(next(folder.glob("results_*.json")).read_text())
    assert results["results"]["b"]["avg@2,none"] == outcome.scores.avg.value
    assert results["results"]["b"]["avg@2_stderr,none"] > 0
    assert results["n-samples"]["b"] == {"original": 6, "effective": 6}
    rows = [json.loads(line) for line in next(folder.glob("samples_b_*.jsonl")).read_text().splitlines()]
    assert [row["doc_id"] for row in rows] == list(range(6))
    assert rows[3]["resps"] == [["\\boxed{99}", "\\boxed{3}"]]
    assert (rows[3]["target"], rows[3]["avg@2"], rows[3]["correct"]) == ("3", 0.5, [0.0, 1.0])
    assert rows[3]["arguments"]["gen_args_0"]["arg_0"] == "<user>What is 3 + 0?"
    # A later state of the evaluation replaces the old one.
    evaluate(make(Scripted, samples=3), Grading(), Watcher())
    assert len(list(folder.iterdir())) == 2


class Texts:
    """A source that answers every problem with the same text, or fails."""

    def __init__(self, text: str | None, truncated: bool = False) -> None:
        self.text, self.truncated = text, truncated

    def draw(self, wanted: Sequence[SampleRange], note: Note = ignore) -> Iterator[list[Sample | FailedSample]]:
        for want in wanted:
            for number in range(want.start, want.stop):
                if self.text is None and want.position == 2:
                    yield [FailedSample(want.problem.id, number, "content filter")]
                else:
                    text = f"\\boxed{{{want.position}}}" if self.text is None else self.text
                    yield [Sample(want.problem.id, number, text, 5, self.truncated)]


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        (Texts("the answer is 3"), "100 % without a readable answer"),
        (Texts(" "), "100 % empty"),
        (Texts("\\boxed{7}", truncated=True), "100 % cut off"),
        (Texts("<think>so \\boxed{3}"), "100 % without a readable answer"),
    ],
)
def test_a_score_of_zero_says_why(make: Callable[..., Evaluation], source: Texts, finding: str) -> None:
    watcher = Watcher()
    result = evaluate(make(lambda: source), Grading(), watcher)
    assert result.scores.avg.value == 0
    assert [warning.finding for warning in result.warnings] == [finding]
    assert finding in watcher.text
    assert json.loads(make(never).directory.scores.read_text())["warnings"] == [str(result.warnings[0])]


def test_failed_samples_count_as_not_right_and_are_drawn_again_on_request(make: Callable[..., Evaluation]) -> None:
    partial = evaluate(make(lambda: Texts(None)), Grading(), Watcher())
    assert (partial.scores.avg.value, partial.scores.failed, partial.drawn) == (5 / 6, 2, 12)
    assert "content filter" in str(partial.warnings[-1])
    again = evaluate(make(never), Grading(), Watcher())
    assert (again.scores, again.drawn) == (partial.scores, 0)
    source = Scripted()
    whole = evaluate(make(lambda: source), Grading(), Watcher(), Redo(retry_failed=True))
    assert (source.drawn, whole.drawn, whole.scores.failed, whole.warnings) == (2, 2, 0, [])


@pytest.mark.parametrize(("unfinished", "score"), [(False, 0.0), (True, 1 / 6)])
def test_unfinished_reasoning_is_graded_only_on_request(
    make: Callable[..., Evaluation], unfinished: bool, score: float
) -> None:
    evaluation = replace(make(lambda: Texts("<think>so \\boxed{3}, but")), unfinished=unfinished)
    assert evaluate(evaluation, Grading(), Watcher()).scores.avg.value == pytest.approx(score)
    other = replace(make(never), unfinished=not unfinished)
    assert evaluate(other, Grading(), Watcher()).scores.avg.value == pytest.approx(1 / 6 - score)


def test_reasoning_that_a_prompt_opens_may_be_unfinished_too() -> None:
    assert answer_part("so \\boxed{3}", True) == ""
    assert answer_part("so</think>\\boxed{3}", True).endswith("3}")
    assert answer_part("<think>so</think>\\boxed{3}", False).endswith("3}")
    assert answer_part("so \\boxed{3}", False) == "so \\boxed{3}"


def test_golds_that_nobody_can_read_stop_it_before_a_model_is_loaded(make: Callable[..., Evaluation]) -> None:
    unreadable = [Problem(f"p{i}", "?", f"}}{{ {i}") for i in range(4)]
    with pytest.raises(ValueError, match="4 of 4 gold answers"):
        evaluate(replace(make(never), problems=unreadable), Grading(), Watcher())
    watcher = Watcher()
    mixed = replace(make(lambda: Texts("x")), problems=[*PROBLEMS[:3], Problem("bad", "?", "}{")])
    evaluate(mixed, Grading(), watcher)
    assert any("1 of 4 gold answers" in note and "bad" in note for note in watcher.notes)
