from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from asyppo_cli.tasks.data.problem_files import read_problem_file
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.tasks.grading.verify import decide, verify
from asyppo_cli.types import Problem

SPEC = importlib.util.spec_from_file_location("forms", Path(__file__).parents[3] / "benchmarks" / "answer_forms.py")
assert SPEC is not None and SPEC.loader is not None
FORMS = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(FORMS)

# A gold answer, and usual ways of writing it.
# fmt: off
RIGHT = {
    r"\frac{3}{8}": [
        r"\dfrac38", "3/8", "0.375", ".375",
        r"\tfrac{6}{16}", r"x = \frac{3}{8}", r"\frac{-3}{-8}", r"37.5\%",
    ],
    r"\frac{2}{3}": [r"\frac23 \approx 0.667", "0.666667", r"\frac {2} {3}.", "2:3"],
    r"2\frac{1}{4}": [r"\frac94", "2.25", "9/4"],
    r"4\sqrt{11}": [r"4 \sqrt {11}", r"\sqrt{176}", "4*sqrt(11)", "4√11", r"4\cdot\sqrt{11}"],
    r"-\frac{17}{6}": [r"\frac{-17}{6}", "-17/6", "−17/6"],
    "12,300": ["12300", r"12{,}300", r"12,\!300", r"12\,300", r"\$12,300", "12300.0"],
    r"\$7.50": ["7.5", "$7.50", r"7.50\text{ dollars}", r"\$7.5"],
    r"48^\circ": ["48", "48°", r"48^{\circ}", r"48\text{ degrees}", r"\frac{4\pi}{15}"],
    "35\\%": ["35", "0.35", r"35 \text{ percent}", r"\frac{35}{100}"],
    r"96\text{ cm}^2": ["96", r"96\ \mathrm{cm}^2", "96 cm^2", r"96\text{ square centimeters}"],
    r"\text{Tuesday}": ["Tuesday", r"\textbf{tuesday}", r"\mathrm{Tuesday}"],
    r"\text{(D)}": ["D", "(D)", r"\textbf{(D)}", r"\text{D}"],
    "314_7": ["314", "314_{7}"],
    "2, 9, 11": [
        "11, 2, 9", r"\{2,9,11\}", r"2, 9 \text{ and } 11", "x=2, x=9, x=11",
        "(2, 9, 11)", "2;9;11", r"x\in\{2,9,11\}",
    ],
    r"5 \pm \sqrt{6}": [r"5+\sqrt6, 5-\sqrt6", r"\{5-\sqrt{6}, 5+\sqrt{6}\}", r"x=5\pm\sqrt6"],
    r"(4,-1),(-4,1)": ["(-4, 1), (4, -1)", r"\{(4,-1),(-4,1)\}", r"\left(4,-1\right), \left(-4,1\right)"],
    r"(1,1),(1,-1),(-1,1),(-1,-1)": [r"(\pm 1, \pm 1)"],
    "(7,-2)": [
        "(7, -2)", "7,-2", r"\begin{pmatrix}7\\-2\end{pmatrix}",
        r"\left(7, -\frac{4}{2}\right)", r"\langle 7,-2\rangle",
    ],
    "[-1,6)": [r"-1 \le x < 6", r"x\in[-1,6)", r"6>x\geq -1", r"\left[-1,6\right)"],
    r"(-\infty,3)": ["x<3", r"x \in (-\infty, 3)", "3>x"],
    r"(0,1)\cup(4,\infty)": [r"(4,\infty)\cup(0,1)", r"0<x<1 \text{ or } x>4"],
    r"\begin{pmatrix} 2 & 0 \\ -1 & 5 \end{pmatrix}": [r"\begin{bmatrix}2&0\\-1&\frac{10}{2}\end{bmatrix}"],
    "y = 3x - 4": ["3x-4", "y=-4+3x", "y - 3x = -4", "3x - y = 4"],
    "f(x) = x^3": ["x^3", "f(x)=x^{3}", r"x\cdot x^2"],
    "n^2 + 3n + 2": ["(n+1)(n+2)", "n^{2}+3 n+2", "2+3n+n^2"],
    r"\lceil n/2 \rceil": [r"\left\lfloor\frac{n+1}{2}\right\rfloor"],
    r"\binom{2k}{k}": [r"\frac{(2k)!}{k!k!}", r"\frac{(2k)!}{(k!)^2}"],
    r"\cos 2t": [r"\cos(2t)", r"1-2\sin^2 t", r"\cos (2 t)"],
    r"-\tau \ln a": [r"\tau\ln\frac{1}{a}"],
    "3.2e5": [r"3.2\times 10^5", r"3.2 \cdot 10^{5}", "320000"],
    "8 - 3i": ["-3i+8", "8-3 i"],
    r"7^{40}": [r"7\cdot 7^{39}", r"49^{20}"],
    "13": [
        "013", "13.0", "13.", r"\text{13}", "$13$",
        r"\boxed{13}", "n=13", r"13\,\mathrm{m}", r"10+3=13", r"\mathbf{13}",
    ],
    r"\pi": ["3.141593", "pi", "π"],
}
# Answers that are near and wrong.
WRONG = {
    r"\frac{3}{8}": ["0.37", r"\frac{8}{3}", "3", r"-\frac38", "0.3751", "not 3/8"],
    r"\frac{2}{3}": ["0.67", "0.66667", "0.666666"],
    r"4\sqrt{11}": ["13.266", r"4\sqrt{12}", r"\sqrt{11}"],
    "12,300": ["12,3", "123,00", "300,12", "1230"],
    r"96\text{ cm}^2": [r"96\text{ m}^2", r"96\text{ cm}", "95"],
    r"\$7.50": [r"7.50 \text{ cents}"],
    r"48^\circ": ["48.5", r"\frac{\pi}{4}", r"48\text{ cm}"],
    "35\\%": ["3.5", "35.5", r"0.35\%"],
    r"\text{Tuesday}": ["Thursday", r"\text{not Tuesday}", "T"],
    r"\text{(D)}": ["C", "d", r"\text{(C) or (D)}"],
    "314_7": ["314_8", "158", "413_7"],
    "314": ["314_7"],
    "2, 9, 11": ["2,9", "2,9,11,12", "2,9,11,11", "(11,9,2)", "2911", "2,9,12"],
    r"5 \pm \sqrt{6}": [r"5+\sqrt6", r"5\pm\sqrt7", r"\pm5+\sqrt6"],
    "(7,-2)": ["(-2,7)", "[7,-2]", r"\{7,-2\}", "(7,2)", "(7,-2,0)"],
    "[-1,6)": ["[-1,6]", "(-1,6)", "[-1,6", "-1,6"],
    "(1,2)": ["[1,2)", r"1 \le x<2", "x=1, x=2, x=3"],
    r"(0,1)\cup(4,\infty)": ["(0,1)", r"(0,1)\cap(4,\infty)", r"(0,1)\cup[4,\infty)"],
    r"\begin{pmatrix} 2 & 0 \\ -1 & 5 \end{pmatrix}": [
        r"\begin{pmatrix} 2 & -1 \\ 0 & 5 \end{pmatrix}",
        r"\begin{pmatrix}2&0\end{pmatrix}",
    ],
    r"\begin{pmatrix} 2 & 0 \\ -1 & 5 \end{pmatrix} ": [r"\begin{vmatrix} 2 & 0 \\ -1 & 5 \end{vmatrix}"],
    "y = 3x - 4": ["y=3x+4", "x=3y-4", "-4"],
    "n^2 + 3n + 2": ["n^2+3n+3", "m^2+3m+2", "(n+1)(n+3)"],
    r"\frac{C}{s}": [r"\frac{c}{s}", r"\frac{C}{S}"],
    r"\cos 2t": [r"\cos 2x", r"\cos 2", r"\cos t"],
    r"|x|": ["x"],
    "3.3e-10": ["3.4e-10", "0", "3.3e10"],
    "6": ["2(4)", "3=6", "6!", "23", r"6 \approx 7"],
    "5": ["2(3)", "(2)(3)", "-5", "5i", "5,5", r"\text{five}", "5x"],
    r"7^{40}": [r"7^{40}+1", r"7^{41}"],
    "f'(x)": ["f(x)"],
    "x^2+1": ["x^2+1=0"],
    r"\pi": ["3.14", "3.14159", "22/7"],
}


# fmt: on
@pytest.mark.parametrize(("gold", "answer"), [(gold, answer) for gold, answers in RIGHT.items() for answer in answers])
def test_usual_ways_of_writing_an_answer_are_right(gold: str, answer: str) -> None:
    assert verify(gold, f"so \\boxed{{{answer}}}.", {})[0] == "right"


@pytest.mark.parametrize(("gold", "answer"), [(gold, answer) for gold, answers in WRONG.items() for answer in answers])
def test_near_misses_are_not_right(gold: str, answer: str) -> None:
    assert verify(gold, f"so \\boxed{{{answer}}}.", {})[0] != "right"


@pytest.mark.parametrize("gold", [*RIGHT, *WRONG])
def test_rewriting_keeps_what_is_right_and_near_misses_wrong(gold: str) -> None:
    assert [form for form in FORMS.rewritten(gold) if verify(gold, f"\\boxed{{{form}}}", {})[0] != "right"] == []
    assert [form for form in FORMS.missed(gold) if verify(gold, f"\\boxed{{{form}}}", {})[0] == "right"] == []


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("41.8", "41.5", True),
        ("41.8", "41.3", False),
        ("4.5e33", r"4.53\times10^{33}", True),
        ("4.5e33", r"4.53\times10^{32}", False),
        ("15000", "15100", True),
        ("15000", "15200", False),
        ("3", "4", False),
        (r"\arcsin(10/13)", "0.88", True),
        ("0", "0.001", False),
        ("-7", "7", False),
    ],
)
def test_tolerance_is_relative_to_the_gold_number(gold: str, answer: str, right: bool) -> None:
    assert (verify(gold, f"\\boxed{{{answer}}}", {"tolerance": 0.01})[0] == "right") is right
    assert verify(gold, f"\\boxed{{{answer}}}", {})[0] != "right"


@pytest.mark.parametrize(
    "answer",
    [
        r"\frac{" * 900 + "1" + "}{2}" * 900,
        "{" * 1999,
        "^" * 1999,
        r"\sqrt[" * 300 + "]" * 100,
        "9" * 1_000_000 + ".5",
        "1," * 999,
        "(" * 900 + ")" * 900,
        r"\pm" * 900,
        "\x00\x02\x03\x1b[2J\ud800",
        "1e999999999",
        r"10^{999999999}",
        r"\frac{1}{0}",
        "170!" * 50,
    ],
)
def test_deciding_is_quick_whatever_the_answer(answer: str) -> None:
    assert getattr(decide(r"\frac{1}{2}", f"\\boxed{{{answer}}}", {})[0], "kind", None) != "right"


def test_hostile_answers_cost_their_deadline_and_are_never_right() -> None:
    hostile = [
        r"9^{9^{9^9}}",
        r"9^{9^{9^{9}}}x",
        r"\int_0^{1} e^{x^{x^x}} \sin(x!)\,dx",
        r"\sum_{n=1}^{10^{99}} \frac{1}{n!^{n}}",
        r"(10^{9})!",
        r"x!!!!!!",
        r"\frac{1}{" * 150 + "x" + "}" * 150,
        r"\sqrt{" * 150 + "x" + "}" * 150,
        "(x+1)" * 300,
        r"\{x \mid x^{x^{x}} = 9\}",
    ]
    with GraderPool(workers=2, deadline=1.0) as pool:
        for gold in (r"\frac{1}{2}", "x^2 + 1"):
            problem = Problem("p", "?", gold)
            verdicts = pool.grade([problem] * len(hostile), [f"\\boxed{{{answer}}}" for answer in hostile])
            assert {verdict.kind for verdict in verdicts} <= {"wrong", "unparseable", "timed_out"}
        assert pool.grade([problem], [r"\boxed{1 + x\cdot x}"])[0].kind == "right"


DATA = os.environ.get("ASYPPO_DATA")


@pytest.mark.skipif(not DATA, reason="ASYPPO_DATA names no folder with the benchmarks' files")
@pytest.mark.parametrize("name", ["aime24", "aime25", "amc23", "math500", "minerva_math", "olympiadbench"])
def test_every_gold_answer_of_the_benchmarks_grades_itself(name: str) -> None:
    golds = read_problem_file(Path(str(DATA)) / f"{name}.jsonl", "ASYPPO_DATA", {})
    pairs = [(problem, form) for problem in golds for form in dict.fromkeys(FORMS.rewritten(problem.answer))]
    assert len(pairs) > 5 * len(golds)
    with GraderPool(workers=2, deadline=20.0) as pool:
        verdicts = pool.grade([problem for problem, _ in pairs], [f"\\boxed{{{form}}}" for _, form in pairs])
    lost = [(problem.answer, form) for (problem, form), v in zip(pairs, verdicts, strict=True) if v.kind != "right"]
    assert lost == []
