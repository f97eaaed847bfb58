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
from asyppo_cli.evaluation.sampling import SampleRange, SampleSource
from asyppo_cli.evaluation.session import Evaluation, evaluate
from asyppo_cli.runs.evaluations import EvaluationDirectory, Sample, read_samples, read_verdicts
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


class Silent:
    """Nobody watches."""

    def start(self, title: str, total: int, done: int) -> None:
        self.began = (total, done)

    def advance(self, done: int, text: str) -> None:
        self.done = done

    def finish(self, text: str) -> None:
        self.text = text

    def note(self, text: str) -> None:
        self.noted = text


class Scripted:
    """A source whose sample n of problem i is right if i + n is even; it dies after ``alive`` samples."""

    def __init__(self, alive: int = 10**9, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.alive, self.error, self.drawn = alive, error, 0

    def draw(self, wanted: Sequence[SampleRange]) -> Iterator[list[Sample]]:
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
        return Evaluation(directory, "b  m", PROBLEMS[:count], samples, settings, {"source": "s"}, source)

    return making


def test_scores_and_files(make: Callable[..., Evaluation]) -> None:
    outcome = evaluate(make(Scripted), Grading(), Silent())
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
    first = evaluate(make(Scripted), Grading(), Silent())
    before = {path: path.read_bytes() for path in make(never).directory.path.rglob("*") if path.is_file()}
    grader = Grading()
    again = evaluate(make(never), grader, Silent())
    assert (again.scores, again.marks, again.drawn) == (first.scores, first.marks, 0)
    assert grader.graded == 0
    after = {path: path.read_bytes() for path in make(never).directory.path.rglob("*") if path.is_file()}
    assert {p: b for p, b in after.items() if p.name != ".lock"} == {
        p: b for p, b in before.items() if p.name != ".lock"
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_evaluation_keeps_what_it_has_and_goes_on(
    make: Callable[..., Evaluation], tmp_path: Path, error: type[BaseException]
) -> None:
    whole = evaluate(make(Scripted), Grading(), Silent())
    there = replace(make(Scripted), directory=EvaluationDirectory(tmp_path / "other"))
    with pytest.raises(error):
        evaluate(replace(there, open_source=lambda: Scripted(7, error)), Grading(), Silent())
    assert sum(map(len, read_samples(there.directory).values())) == 7
    source = Scripted()
    outcome = evaluate(replace(there, open_source=lambda: source), Grading(), Silent())
    assert (outcome.scores, outcome.marks, source.drawn) == (whole.scores, whole.marks, 5)


def test_gaps_are_filled_and_nothing_is_drawn_twice(make: Callable[..., Evaluation]) -> None:
    whole = evaluate(make(Scripted, samples=3), Grading(), Silent())
    samples = make(never).directory.samples
    kept = [line for line in samples.read_text().splitlines(keepends=True) if '"sample": 1' in line or '"p4"' in line]
    samples.write_text("".join(kept))
    source = Scripted()
    again = evaluate(make(lambda: source, samples=3), Grading(), Silent())
    assert (again.scores, source.drawn, again.drawn) == (whole.scores, 10, 10)
    assert len(samples.read_text().splitlines()) == 18


def test_more_samples_and_more_problems_extend_what_is_there(make: Callable[..., Evaluation]) -> None:
    evaluate(make(Scripted, samples=2, count=3), Grading(), Silent())
    source, grader = Scripted(), Grading()
    outcome = evaluate(make(lambda: source, samples=4, count=6), grader, Silent())
    assert source.drawn == 6 * 4 - 3 * 2 == outcome.drawn
    # Every sample once, and the answers that equal no gold answer with each other, as one class has a new member.
    assert sum(map(len, read_verdicts(make(never).directory).values())) == 24
    fewer = evaluate(make(never, samples=1, count=2), grader, Silent())
    assert [[mark.right for mark in problem] for problem in fewer.marks] == [[True], [False]]


def test_regrading_samples_nothing(make: Callable[..., Evaluation]) -> None:
    first = evaluate(make(Scripted), Grading(), Silent())
    grader = Grading()
    again = evaluate(make(never), grader, Silent(), regrade=True)
    assert again.scores == first.scores
    assert grader.graded >= 12


def test_verdicts_of_another_grader_do_not_count(
    make: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(make(Scripted), Grading(), Silent())
    monkeypatch.setattr("asyppo_cli.evaluation.session.grader_version", lambda: "another")
    grader, watcher = Grading(), Silent()
    evaluate(make(never), grader, watcher)
    assert grader.graded >= 12
    assert watcher.noted.startswith("12 verdicts are of another grader")
    assert {row.grader for rows in read_verdicts(make(never).directory).values() for row in rows.values()} == {
        "another"
    }


def test_a_fresh_start_draws_all_again(make: Callable[..., Evaluation]) -> None:
    evaluate(make(Scripted), Grading(), Silent())
    source = Scripted()
    evaluate(make(lambda: source), Grading(), Silent(), fresh=True)
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
        with pytest.raises(ValueError, match=rf"evaluation x is being worked on by process {other.pid}"):
            evaluate(evaluation, Grading(), Silent())
        assert other.stdin is not None
        other.stdin.close()


def test_the_harness_form(make: Callable[..., Evaluation]) -> None:
    outcome = evaluate(make(Scripted), Grading(), Silent())
    folder = make(never).directory.lm_eval_folder
    results = json.loads(next(folder.glob("results_*.json")).read_text())
    assert results["results"]["b"]["avg@2,none"] == outcome.scores.avg.value
    assert results["results"]["b"]["avg@2_stderr,none"] > 0
    assert results["n-samples"]["b"] == {"original": 6, "effective": 6}
    rows = [json.loads(line) for line in next(folder.glob("samples_b_*.jsonl")).read_text().splitlines()]
    assert [row["doc_id"] for row in rows] == list(range(6))
    assert rows[3]["resps"] == [["\\boxed{99}", "\\boxed{3}"]]
    assert (rows[3]["target"], rows[3]["avg@2"], rows[3]["correct"]) == ("3", 0.5, [0.0, 1.0])
    # Another state of the evaluation takes the place of the old one.
    evaluate(make(Scripted, samples=3), Grading(), Silent())
    assert len(list(folder.iterdir())) == 2
