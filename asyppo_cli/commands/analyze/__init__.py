"""``asyppo analyze``: figures and findings from the records of runs. A command is imported when it is called."""

from __future__ import annotations

import typer

from asyppo_cli.family import Family

# Name, and what help says of it; each is a module of this package (- as _) with an ``app`` of one command.
COMMANDS = {
    "value-std": "Where the critics disagree, and whether it means error.",
    "quadrant": "Disagreement against gradient, state by state.",
    "curves": "Any metrics of several runs, seeds joined.",
    "timeline": "Who worked when: sampling and training side by side.",
    "wordcloud": "Which tokens are masked and filtered.",
    "tokens": "Responses to read, coloured token by token.",
    "report": "Everything about runs on one page.",
}
EXAMPLES = {
    "asyppo analyze value-std": "the newest run",
    "asyppo analyze quadrant --steps last": "its last recorded step",
    "asyppo analyze curves RUN_A RUN_B": "two runs against each other",
    "asyppo analyze report SWEEP": "all runs of a sweep",
}


class AnalyzeCommands(Family):
    """The analyses."""

    package = __name__
    known = COMMANDS
    examples = EXAMPLES
    program = "asyppo analyze"
    usage = ("COMMAND [RUN]... [OPTIONS]",)
    member = "analysis"


app = typer.Typer(cls=AnalyzeCommands, add_completion=False)


@app.callback()
def analyze() -> None:
    """See why a run learns, from a single token to a whole sweep. Without a run, the newest is taken."""
