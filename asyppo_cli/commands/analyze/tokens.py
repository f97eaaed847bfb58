"""``asyppo analyze tokens``: responses to read, coloured token by token, as a page for the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asyppo_cli.commands.analyze import options
from asyppo_cli.commands.runs import complete_run
from asyppo_cli.runs.directory import RunDirectory

if TYPE_CHECKING:
    from analysis.pages.token_page import StepResponses

Order = Literal["first", "best", "worst", "disputed"]
Only = Literal["all", "right", "wrong"]

EXAMPLES = """Examples:

asyppo analyze tokens

asyppo analyze tokens RUN --of training --step 40 --order disputed --limit 4

asyppo analyze tokens RUN --of training --only wrong --order worst
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def tokens(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="Run, or how its name begins; default: the newest.",
            show_default=False,
            autocompletion=complete_run,
        ),
    ] = None,
    runs_dir: options.RunsDir = Path("runs"),
    of: Annotated[
        Literal["probes", "training"] | None,
        typer.Option(
            help="Probes: the same prompts at every recorded step. Default: probes where the run has any, unless a "
            "step or an order is asked for.",
            show_default=False,
        ),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(min=0, help="Recorded step; of probes, the one to open at. Default: last.", show_default=False),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="Only this prompt's responses; of training, at every step that drew it.", show_default=False),
    ] = None,
    order: Annotated[
        Order,
        typer.Option(help="Training: which come first. Best: right though least expected; disputed: critics differ."),
    ] = "first",
    only: Annotated[Only, typer.Option(help="Only responses that are so.")] = "all",
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most responses of a step on the page.")] = 8,
    output: options.Output = None,
) -> None:
    """Write responses as a page that reads like the text, each token coloured by what critics and policy make of it."""
    run = only_run(name, runs_dir)
    from analysis.pages.html import save_page
    from analysis.pages.token_page import token_data, token_page

    if (of or usual_source(run, step, order)) == "probes":
        readings, start, what = followed(run, step, prompt, only, limit)
    else:
        readings, start, what = chosen(run, step, prompt, order, only, limit)
    folder = options.output_folder(output, [run])
    path = save_page(folder / "tokens.html", token_page(token_data(run.name, readings, start, what)))
    options.print_findings([f"{run.name}: {what}"], [path])


def usual_source(run: RunDirectory, step: int | None, order: str) -> str:
    """Probes where there are any, unless the step or order exists for training only."""
    from asyppo_cli.runs.records import probed_steps, recorded_steps

    probed = probed_steps(run)
    of_training = order != "first" or (step is not None and step in recorded_steps(run) and step not in probed)
    return "probes" if probed and not of_training else "training"


def followed(
    run: RunDirectory, step: int | None, prompt: str | None, only: Only, limit: int
) -> tuple[list[StepResponses], int, str]:
    """Probes through training, the step to open at, and what that is in words."""
    from analysis.pages.token_source import probe_readings
    from asyppo_cli.runs.records import probed_steps

    readings, every = probe_readings(run, prompt, only, limit, step), len(probed_steps(run))
    steps = [part.step for part in readings]
    what = f"{len(readings[-1].rows)} responses to held-out probes, followed through training"
    what += f" at {len(steps)} of {every} steps" if len(steps) < every else ""
    return readings, steps[-1] if step is None else min(steps, key=lambda known: abs(known - step)), what


def chosen(
    run: RunDirectory, step: int | None, prompt: str | None, order: Order, only: Only, limit: int
) -> tuple[list[StepResponses], int, str]:
    """Chosen responses of training, the step to open at, and what that is in words."""
    from analysis.pages.token_page import critic_count
    from analysis.pages.token_source import training_readings

    readings = training_readings(run, step, prompt, order, only, limit)
    if order == "disputed" and critic_count(readings[0].table) < 2:
        raise ValueError(f"run {run.name} has fewer than two critics, so nothing is disputed: choose another --order")
    start, left_out = readings[-1].step, sum(part.left_out for part in readings)
    what = described(sum(len(part.rows) for part in readings), order, only, start)
    what += f" ({left_out} more would make the page too large)" if left_out else ""
    return readings, start, what


def only_run(name: str | None, runs_dir: Path) -> RunDirectory:
    """The one run of that name; ValueError where it stands for several."""
    runs = options.chosen_runs([name] if name else None, runs_dir)
    if len(runs) > 1:
        raise ValueError(f"{name} holds {len(runs)} runs, and this page shows one: name it, such as {runs[0].path}")
    return runs[0]


def described(count: int, order: str, only: str, step: int) -> str:
    """What is on a page of training responses, in words."""
    which = {"first": "", "best": ", best first", "worst": ", worst first", "disputed": ", most disputed first"}[order]
    kind = {"all": "", "right": "right ", "wrong": "wrong "}[only]
    return f"{count} {kind}{'response' if count == 1 else 'responses'} of training step {step}{which}"
