"""Verdicts of this grader and of two others on the same answers, whose truth is known because they were made.

    python benchmarks/graders.py DATA_DIR_OR_CASES.jsonl [DISAGREEMENTS.jsonl]

Every gold answer of the six benchmark files is rewritten in the usual ways (right) and spoiled a little (wrong); a
seeded share of both is judged by asyppo, by math-verify alone, and by mathruler (PRM800K) where installed.
A file of cases has rows of {"answer", "response", "expected", "certain"}, decided by a person; certain ones count.
Prints a table; disagreements go to the file, to be read and judged by a person.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from answer_forms import missed, rewritten

from asyppo_cli.evaluation.benchmarks import BENCHMARKS, load_benchmark
from asyppo_cli.tasks.grading.boxed import last_boxed
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.types import Problem

RIGHT, WRONG = 150, 100
SECONDS = 5
Judge = Callable[[str, str], bool]


def by_math_verify(gold: str, answer: str) -> bool:
    """As its documentation calls it."""
    import math_verify

    found = math_verify.parse(f"$\\boxed{{{answer}}}$", parsing_timeout=SECONDS)
    return bool(math_verify.verify(math_verify.parse(f"$\\boxed{{{gold}}}$"), found, timeout_seconds=SECONDS))


def by_mathruler(gold: str, answer: str) -> bool:
    """PRM800K's rules, limited in time."""
    from mathruler.grader import grade_answer

    with limited(SECONDS):
        return bool(grade_answer(answer, gold))
    return False


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Give up silently after so many seconds, or on any error of the grader."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        with contextlib.suppress(Exception):
            yield
    finally:
        signal.alarm(0)


def made_answers(name: str, folder: Path) -> list[tuple[Problem, str, bool]]:
    """Problems with an answer each and whether it is right; no integers but for every tenth, as they teach nothing."""
    generator = random.Random(name)
    problems = load_benchmark(name, folder).problems
    found = []
    for truth, forms, most in ((True, rewritten, RIGHT), (False, missed, WRONG)):
        pairs = [(p, form, truth) for p in problems for form in dict.fromkeys(forms(p.answer))]
        generator.shuffle(pairs)
        plain = [pair for pair in pairs if pair[0].answer.lstrip("-").isdigit()]
        others = [pair for pair in pairs if not pair[0].answer.lstrip("-").isdigit()]
        found += plain[: most if not others else most // 10] + others[:most]
    return found


def decided_cases(file: Path) -> list[tuple[Problem, str, bool]]:
    """Problems with an answer each and whether it is right, from a file of cases; uncertain ones are left out."""
    rows = [row for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()) if row["certain"]]
    return [(Problem("", "?", row["answer"]), last_boxed(row["response"]) or "", row["expected"]) for row in rows]


def main() -> None:
    """Print the table; write the disagreements."""
    logging.disable(logging.CRITICAL)
    judges: dict[str, Judge] = {"math-verify": by_math_verify}
    if importlib.util.find_spec("mathruler") is not None:
        judges["mathruler"] = by_mathruler
    disagreements = []
    names = ["asyppo", *judges]
    print("| benchmark | right, wrong | " + " | ".join(f"{name}: lost, given" for name in names) + " |")
    source = Path(sys.argv[1])
    for benchmark in [source.stem] if source.is_file() else BENCHMARKS:
        answers = decided_cases(source) if source.is_file() else made_answers(benchmark, source)
        with GraderPool(workers=2, deadline=20.0) as pool:
            ours = pool.grade([p for p, _, _ in answers], [f"\\boxed{{{a}}}" for _, a, _ in answers])
        errors: Counter[tuple[str, bool]] = Counter()
        for (problem, answer, truth), verdict in zip(answers, ours, strict=True):
            said = {"asyppo": verdict.kind == "right"} | {n: j(problem.answer, answer) for n, j in judges.items()}
            errors.update((name, truth) for name, right in said.items() if right != truth)
            if len(set(said.values())) > 1 or said["asyppo"] != truth:
                row = {"benchmark": benchmark, "gold": problem.answer, "answer": answer, "truth": truth, "said": said}
                disagreements.append(row)
        truths = Counter(truth for _, _, truth in answers)
        cells = [f"{errors[name, True]}, {errors[name, False]}" for name in names]
        print(f"| {benchmark} | {truths[True]}, {truths[False]} | " + " | ".join(cells) + " |", flush=True)
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text("".join(json.dumps(row) + "\n" for row in disagreements), encoding="utf-8")


if __name__ == "__main__":
    main()
