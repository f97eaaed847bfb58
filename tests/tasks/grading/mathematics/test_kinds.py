"""A table of cases by kind, decided before they were graded: what is right, what is near and wrong.

A line is a gold answer, a bar between blanks, and an answer.
"""

from __future__ import annotations

import pytest

from asyppo_cli.tasks.grading.verify import verify

# Quantities and units, statements and chains, angles, matrices, words, numbers, roots, congruences, parameters,
# systems, sets of real numbers, equations, expressions, ratios, sets, choices, notation.
RIGHT = r"""
5 | 5\text{ apples}
5000000 | 5\text{ million}
5 million | 5,000,000
\text{5 million} | 5000000
36 | 3\text{ dozen}
5\text{ km} | 5000\text{ m}
2\text{ hours} | 120\text{ minutes}
72\text{ km/h} | 20\text{ m/s}
500\text{ nm} | 5\times 10^{-7}\text{ m}
1\text{ L} | 1000\text{ cm}^3
\$0.75 | 75\text{ cents}
3\text{ m}^2 | 3\ \mathrm{m^2}
12\text{ square inches} | 12\text{ in}^2
90^\circ | 90\text{ degrees}
90^\circ | \frac{\pi}{2}
180 | 180^\circ
50\% | \frac12
50\% | 50
0.5 | 50\%
7:30\text{ p.m.} | 7:30\text{ PM}
24 | A = \frac12\cdot6\cdot8 = 24
73 | m+n=73
5 | 5 = x
5 | x = 5
\frac{3}{4} | P(A) = \frac{3}{4}
f^{-1}(x) = \frac{x-1}{2} | \frac{x-1}{2}
f^{-1}(x) = \frac{x-1}{2} | f^{-1}(x)=\frac{1}{2}x-\frac{1}{2}
S_{n+1} = 2S_n | 2S_n
|z| = 5 | 5
P(X=2) = 0.3 | \frac{3}{10}
\frac{1}{2} | \cos 60^\circ
-\frac{\sqrt3}{2} | \sin 240^\circ
\begin{pmatrix}1&2\\3&4\end{pmatrix} | [[1,2],[3,4]]
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \left[\begin{array}{cc}1&2\\3&4\end{array}\right]
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}
\begin{pmatrix}1\\2\\3\end{pmatrix} | (1,2,3)^T
\begin{pmatrix}1\\2\\3\end{pmatrix} | (1,2,3)
\begin{pmatrix}1\\2\end{pmatrix} | [1,2]
\begin{pmatrix}1\\2\end{pmatrix} | \begin{Bmatrix}1\\2\end{Bmatrix}
\text{No} | no
\text{no} | No.
\text{Yes} | \textbf{yes}
\text{True} | true
\text{Monday} | Monday
\text{odd} | \text{Odd}
25 | ２５
(1,2) | （1，2）
\frac{1}{6} | 0.1\overline{6}
\frac{1}{3} | 0.\overline{3}
0.\overline{12} | \frac{12}{99}
3\frac{1}{2} | \frac{7}{2}
\frac{7}{2} | 3 1/2
-2 | \sqrt[3]{-8}
-3 | (-27)^{1/3}
-\sqrt[3]{5} | \sqrt[3]{-5}
0 | \cos\frac{\pi}{2}
0 | \sin\pi
\sqrt{3}-\sqrt{2} | \frac{1}{\sqrt{3}+\sqrt{2}}
\sqrt{5+2\sqrt{6}} | \sqrt{2}+\sqrt{3}
1 | \sin^2 x+\cos^2 x
x \equiv 3 \pmod{7} | x\equiv 10 \pmod 7
x\equiv 3 \pmod 7 | x \equiv 3 \ (\text{mod } 7)
x = \frac{\pi}{4}+k\pi, k\in\mathbb{Z} | x=\frac{\pi}{4}+k\pi \quad (k \in \mathbb{Z})
x = \frac{\pi}{4}+k\pi | \frac{\pi}{4}+k\pi, \text{ where } k \in \mathbb{Z}
(3,4) | (x,y)=(3,4)
(3,4) | x=3, y=4
(3,4) | y=4, x=3
x=3, y=4 | (x,y)=(3,4)
x=3,y=4 | \begin{cases} x=3 \\ y=4 \end{cases}
x=3,y=4 | y=4, x=3
(-\infty,\infty) | \mathbb{R}
\mathbb{R} | (-\infty, \infty)
\mathbb{R} | \text{all real numbers}
(-\infty,\infty) | x \in \mathbb{R}
(x+1)(x-2) | (x-2)(x+1)
x^2-x-2 | (x-2)(x+1)
[1,3] | 1\le x\le 3
(1,\infty) | x>1
(-\infty,1)\cup(1,\infty) | x\neq 1
(-\infty,1)\cup(1,\infty) | \mathbb{R}\setminus\{1\}
(-\infty,1)\cup(1,2)\cup(2,\infty) | \mathbb{R}\setminus\{2,1\}
(-\infty,-1]\cup[1,\infty) | |x|\ge 1
(-1,1) | |x|<1
x<-1 \text{ or } x>1 | (-\infty,-1)\cup(1,\infty)
(1,3) | x>1 \text{ and } x<3
y=2x+1 | 2x-y+1=0
x^2+y^2=25 | x^2+y^2-25=0
2x+3y=6 | y=2-\frac{2}{3}x
f(x)=x+1 | f(n)=n+1
\ln 8 | 3\ln 2
\log_2 8 | 3
\log_{10} 100 | 2
e^{i\pi} | -1
\frac{1+i}{2} | \frac{1}{1-i}
n! | n\cdot(n-1)!
\binom{n}{2} | \frac{n(n-1)}{2}
2^{n+1} | 2\cdot2^n
\frac{n(n+1)}{2} | \sum_{k=1}^n k
(-1)^n | \cos(n\pi)
\lfloor \frac{n}{2} \rfloor | \lceil\frac{n-1}{2}\rceil
|x| | \sqrt{x^2}
\sqrt{x^2} | |x|
x^{3/2} | x\sqrt{x}
\frac{a}{b} | a/b
3:2 | 6:4
2:3 | \frac{2}{3}
\{1,2,3\} | 3,1,2
\{1,2\} | \{2,1,1\}
\emptyset | \{\}
\pm 2 | 2, -2
\pm 2 | x=\pm2
\text{(B)} | B
B | \text{(B)}
B | (B)
B | B.
10^{-25} | 1e-25
1.5\times10^3 | 1500
1,234,567 | 1234567
1234 | 1\,234
\frac{x}{2} | 0.5x
\infty | +\infty
5 | \text{The answer is }5
\frac{1}{2} | ½
x^2 | x²
\sqrt{2} | √2
2\pi | 2π
\frac{2}{3} | 2/3 \approx 0.667
"""
# Units and magnitudes, words that change a number, equations for their solution, swapped names, numbers that floats
# cannot tell apart, brackets, lists, sets, matrices, words, congruences, equations, percentages, large numbers.
WRONG = r"""
5 | 5\text{ million}
5\text{ million} | 5
8\text{ a.m.} | 8\text{ p.m.}
8 | 8\text{ thousand}
20\text{ m/s} | 20\text{ km/h}
5\text{ nm} | 5\text{ m}
5\text{ km} | 5\text{ miles}
5\text{ apples} | 5\text{ oranges}
5 | 5\text{ or }6
5 | \text{not }5
5 | 5\text{ less}
5 | \text{less than }5
5 | 5\text{ squared}
5 | 5\text{ hundredths}
5 | x^3=5
5 | e^x=5
5 | n!=5
5 | 2x=5
5 | \sqrt{x}=5
5 | x<5
5 | x\ne 5
5 | x^2+1 = 5
5 | 3=5
5 | x = 3 = 5
5 | \ln x = 5
5 | \frac{1}{x} = 5
5 | |x-2|=5
5 | 3^n = 5
x=3, y=4 | x=4, y=3
(3,4) | x=4, y=3
(3,4) | y=3, x=4
x=3,y=4 | (4,3)
a=1,b=2 | a=2,b=1
1 | 1+10^{-25}
0 | e^{-1000}
x | x+\sin(\pi x)
0 | 10^{-40}
x | x+10^{-30}
1 | 1.0000000000000000000001
\pi | 3.14159265358979323847
\sqrt{2} | 1.4142
x | \sqrt{x^2}
x | |x|
n | n+\sin(n\pi)+1
x^2 | x^2+10^{-20}x
\sin x | x
(1,2) | [1,2]
(1,2) | \{1,2\}
[1,2] | (1,2)
(1,2) | (2,1)
1,2 | 1,2,3
1,2 | 1
\{1,2\} | \{1\}
x>1 | x<1
x>1 | x\ge 1
x>1 | y>1
(-\infty,1)\cup(1,\infty) | \mathbb{R}
(-\infty,1)\cup(1,\infty) | \mathbb{R}\setminus\{2\}
(-1,1) | |x|>1
(-1,1) | |x|\le 1
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&3\\2&4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{vmatrix}1&2\\3&4\end{vmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | (2,1)
\text{Yes} | \text{No}
\text{yes} | y
\text{no} | n
\text{(A)} | \text{(B)}
\text{Monday} | \text{not Monday}
x \equiv 3 \pmod 7 | x\equiv 3\pmod 5
x \equiv 3 \pmod 7 | x\equiv 4\pmod 7
x\equiv 3\pmod 7 | 3
x=2k\pi | x=k\pi, k\in\mathbb{Z}
y=2x+1 | y=2x-1
y=2x+1 | x=2y+1
x^2+y^2=25 | x^2+y^2=5
f(x)=x+1 | g(x)=x+1
f(x)=x+1 | f(x)=x
f(x+y) | f(x)+f(y)
36\% | 36\text{ degrees}
36\% | 3.6
5^\circ C | 5^\circ F
5^\circ | 5\text{ radians}
0.5 | 0.5\%
\$5 | 5\text{ euros}
\$5 | 5\text{ cents}
2^{100} | 2^{100}+1
100! | 100!+1
10^{100} | 10^{101}
\frac{1}{3} | 0.333
\frac{1}{3} | 0.\overline{34}
-8 | \sqrt[3]{-8}
2 | \sqrt[3]{-8}
2i | \sqrt{-4}+10^{-9}
\log_2 3 | \log_3 2
\ln x^2 | (\ln x)^2
\sin 30^\circ | \sin 30
5 | 5!
5 | 5'
5 | 5_8
12_3 | 12_4
AB | BA+1
3:2 | 2:3
3:30 | 3:03
7:30\text{ p.m.} | 7:30\text{ a.m.}
\pm 2 | 2
2 | \pm 2
\infty | -\infty
\infty | \text{undefined}
\emptyset | \{0\}
\emptyset | 0
0 | \emptyset
a_1 | a_2
F_n | F_{n+1}
x' | x
x^2+1 | x^2+1=0
x^2+1=0 | x^2+1
\frac{a}{b+c} | a/b+c
1/2x | \frac{1}{2x}+1
23 | 2\cdot3
23 | 2 3
6 | 6\text{ and }7
5 | 5,5
5 | \{5,6\}
5 | (5)(1.2)
5 | 5+C
x^2+C | x^2
10\text{ km east} | 10\text{ km west}
2\text{ pairs} | 2
5\text{ km} | 5\text{ kg}
"""


def cases(table: str) -> list[tuple[str, ...]]:
    return [tuple(line.split(" | ", 1)) for line in table.strip().splitlines()]


@pytest.mark.parametrize(("gold", "answer"), cases(RIGHT))
def test_equal_answers_of_a_kind(gold: str, answer: str) -> None:
    assert verify(gold, f"\\boxed{{{answer}}}", {})[0] == "right"


@pytest.mark.parametrize(("gold", "answer"), cases(WRONG))
def test_different_answers_of_a_kind(gold: str, answer: str) -> None:
    assert verify(gold, f"\\boxed{{{answer}}}", {})[0] != "right"
