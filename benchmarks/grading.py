"""Answers graded a second by the pool of workers, against math-verify called one by one in a single process.

    python benchmarks/grading.py [WORKERS]

Both see the same responses in one run: 10,000 integers, and 2,000 LaTeX answers to 40 problems of which some are right
in another spelling, some right only by algebra, some wrong, some unreadable. The baseline grades a share of them, as it
would take minutes for all. Start-up of the workers is counted apart: a run pays it once.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.types import Problem

INTEGERS = 10_000
LATEX = 2_000
BASELINE_SHARE = 10
PROMISED = {"integers": 5_000.0, "LaTeX": 300.0}
WORDS = "We square both sides, collect the terms and find that the other root does not fit. Therefore the answer is "

Work = list[tuple[Problem, str]]


def integer_work(generator: random.Random) -> Work:
    """Integers as models write them: right, wrong, with separators, leading zeros, dollars, or without a box."""
    work = []
    for i in range(INTEGERS):
        gold = generator.randrange(0, 10_000)
        said = gold if generator.random() < 0.5 else generator.randrange(0, 10_000)
        form = generator.choice(["{}", "{:03d}", "{:,}", "${}$", "{}.0", " {} "]).format(said)
        text = WORDS + (f"{said}." if i % 20 == 0 else f"\\boxed{{{form}}}.")
        work.append((Problem(f"i{i % 100}", "?", str(gold)), text))
    return work


def latex_work(generator: random.Random) -> Work:
    """Fractions, roots, intervals, lists, matrices, polynomials and functions with new numbers for every problem."""
    work = []
    for i in range(40):
        gold, right, algebra, wrong = family(i % 8, generator)
        problem = Problem(f"x{i}", "?", gold)
        for j in range(LATEX // 40):
            answer = [right, right, algebra, wrong, right, f"{wrong} + {j}", right, algebra, f"{right} + {j}", "?{?"][
                j % 10
            ]
            work.append((problem, WORDS + f"$\\boxed{{{answer}}}$."))
    generator.shuffle(work)
    return work


def family(kind: int, generator: random.Random) -> tuple[str, str, str, str]:
    """A gold answer, the same spelled otherwise, the same by algebra, and a wrong one."""
    a, b, c = (generator.randrange(2, 60) for _ in range(3))
    return [
        (
            rf"\frac{{{a}}}{{{b * 60 + 1}}}",
            rf"\dfrac{{{a}}}{{{b * 60 + 1}}}",
            rf"{a}/({b * 60}+1)",
            rf"\frac{{{a}}}{{{b}}}",
        ),
        (rf"{a}\sqrt{{{b}}}", rf"{a} \sqrt {{{b}}}", rf"\sqrt{{{a * a * b}}}", rf"{a}\sqrt{{{b + 1}}}"),
        (rf"({-a}, {b}]", rf"\left({-a}, {b}\right]", rf"-{a} < x \le {b}", rf"({-a}, {b})"),
        (f"{a},{-b},{c}", f"{c}, {a}, {-b}", f"{c}, {2 * a}/2, {-b}", f"{a},{b},{c}"),
        (
            rf"\begin{{pmatrix}} {a} \\ {b} \end{{pmatrix}}",
            rf"\begin{{bmatrix}}{a}\\{b}\end{{bmatrix}}",
            rf"\begin{{pmatrix}} \frac{{{2 * a}}}{{2}} \\ {b} \end{{pmatrix}}",
            rf"\begin{{pmatrix}} {a} \\ {c + 60} \end{{pmatrix}}",
        ),
        (f"{a}x^2 - {b}x", f"{a}x^{{2}}-{b} x", f"x({a}x-{b})", f"{a}x^2+{b}x"),
        (rf"{a} + {b}\pi", rf"{a}+{b} \pi", rf"{b}\pi+{a}", rf"{a} - {b}\pi"),
        (rf"f(n) = {a}^{{n}} + {b}", rf"f(n)={a}^n+{b}", rf"{a}\cdot {a}^{{n-1}}+{b}", rf"f(n)={a}^n+{b + 1}"),
    ][kind]


def timed(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def one_by_one(work: Sequence[tuple[Problem, str]]) -> int:
    """math-verify as its documentation calls it; returns how many are right."""
    import math_verify

    right = 0
    for problem, text in work:
        gold = math_verify.parse(f"$\\boxed{{{problem.answer}}}$")
        right += bool(math_verify.verify(gold, math_verify.parse(text)))
    return right


def main() -> int:
    """Print rates and ratios; exit 1 if a promise is broken."""
    logging.disable(logging.CRITICAL)
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    generator = random.Random(7)
    half = Problem("warm", "?", "1+x")
    kept = True
    with GraderPool(workers, deadline=10.0) as pool:
        start = timed(lambda: pool.grade([half] * workers, [f"\\boxed{{x+1+{i}y}}" for i in range(workers)]))
        print(f"{workers} workers ready after {start:.1f} s")
        one_by_one([(half, r"\boxed{x+1}")])
        for name, work in (("integers", integer_work(generator)), ("LaTeX", latex_work(generator))):
            sample = work[:: BASELINE_SHARE * (5 if name == "integers" else 1)]
            slow = len(sample) / timed(lambda sample=sample: one_by_one(sample))
            verdicts = []
            seconds = timed(lambda work=work, v=verdicts: v.extend(pool.grade(*map(list, zip(*work, strict=True)))))
            fast = len(work) / seconds
            kept = kept and fast >= PROMISED[name]
            kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(v.kind for v in verdicts).most_common())
            print(f"{name:<9} {len(work):6} answers {fast:9.0f} a second; one by one {slow:6.0f}; {fast / slow:6.1f} x")
            print(f"          promised at least {PROMISED[name]:.0f}; {kinds}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
