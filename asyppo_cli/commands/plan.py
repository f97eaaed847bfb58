"""``asyppo plan``: what a run will need, before anything of it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyppo_cli.commands.config import ConfigDir, Overrides

if TYPE_CHECKING:
    from asyppo_cli.planning.estimate import Comparison, MemoryEstimate
    from asyppo_cli.planning.inputs import PlanInputs
    from asyppo_cli.planning.memory import RoleMemory
    from asyppo_cli.planning.placement import MemoryPool
    from asyppo_cli.planning.suggestions import Suggestion
    from asyppo_cli.planning.work import Rates, StepWork

EXAMPLES = """Examples:

asyppo plan

asyppo plan critic_count=4 learner.gradient_checkpointing=true

asyppo plan experiment=paper/qwen3_14b --gpu-memory 80

asyppo plan experiment=local_model policy.model=PATH --response-tokens 200 --json plan.json
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def plan(
    overrides: Overrides = None,
    gpu_memory: Annotated[float | None, typer.Option(help="Plan for GPUs with this many GiB each.")] = None,
    gpus: Annotated[int | None, typer.Option(help="How many of them there are; as many as asked for.")] = None,
    prompt_tokens: Annotated[int | None, typer.Option(help="Longest prompt to expect; the limit that is set.")] = None,
    response_tokens: Annotated[int | None, typer.Option(help="Longest response, likewise.")] = None,
    tflops: Annotated[float | None, typer.Option(help="Measured speed of learning, for seconds a step.")] = None,
    sampled: Annotated[float | None, typer.Option(help="Measured tokens a second of all samplers.")] = None,
    json: Annotated[Path | None, typer.Option(help="File for everything as JSON.")] = None,
    config_dir: ConfigDir = None,
) -> None:
    """Say what memory and work a run needs, before anything of it is loaded."""
    from asyppo_cli import console
    from asyppo_cli.config.load import load

    check_positive({"--gpu-memory": gpu_memory, "--gpus": gpus, "--tflops": tflops, "--sampled": sampled})
    config = load(overrides or [], config_dir).config
    console.note("reading the models' configurations")
    from asyppo_cli.builders.plan import Planned, build_plan_inputs
    from asyppo_cli.planning.estimate import comparisons, estimate
    from asyppo_cli.planning.export import as_data
    from asyppo_cli.planning.suggestions import suggest
    from asyppo_cli.planning.work import TERA, Rates, step_work

    inputs = build_plan_inputs(config, Planned(gpu_memory, gpus, prompt_tokens, response_tokens))
    result = estimate(inputs)
    compared, work = comparisons(inputs, result), step_work(inputs)
    suggestion = None if result.fits else suggest(inputs)
    rates = Rates(None if tflops is None else tflops * TERA, sampled)
    show(result, compared, work, rates)
    if json is not None:
        write(json, as_data(result, compared, work, rates, suggestion))
    if not result.fits:
        show_suggestion(result, suggestion)
        raise typer.Exit(1)


def check_positive(options: dict[str, float | None]) -> None:
    """ValueError for an amount that is none."""
    for name, value in options.items():
        if value is not None and value <= 0:
            raise ValueError(f"{name} {value:g} must be above 0")


def show(result: MemoryEstimate, compared: Sequence[Comparison], work: Sequence[StepWork], rates: Rates) -> None:
    """Everything, from the roles to the verdict."""
    from asyppo_cli import console

    inputs = result.inputs
    console.heading("models")
    console.pairs(model_lines(inputs))
    console.heading("memory of each role, GiB in one process of it at its worst moment")
    show_roles(result.roles)
    console.heading("memory of each place, GiB with libraries, all at their worst at once")
    show_memory_pools(result.memory_pools)
    console.heading(f"work of a step, prompts of {inputs.prompt} and responses of {inputs.response} tokens")
    show_work(inputs, work, rates)
    console.heading("compared with")
    for other in compared:
        more = "less" if other.saving >= 0 else "more"
        console.print(f"{other.method:<14} {gib(other.total)} GiB: this run needs {abs(other.saving):.0%} {more}")


def model_lines(inputs: PlanInputs) -> list[tuple[str, str]]:
    """Sizes in words."""
    config, policy, critic = inputs.config, inputs.policy, inputs.critic
    lines = [("policy", f"{config.policy.model}: {count(policy.parameters)} weights ({policy.source})")]
    if critic is not None:
        own = config.critics.model or "the policy's first layers"
        share = critic.parameters / policy.parameters
        lines.append(
            ("critics", f"{config.critics.count} x {own}: {count(critic.parameters)} weights each, {share:.0%} of it")
        )
    lines.append(("computing", f"{config.learner.engine} in {words(inputs)}, {inputs.sampler} samples"))
    return lines


def words(inputs: PlanInputs) -> str:
    """Precision, ZeRO and checkpointing."""
    learner = inputs.config.learner
    found = {"autocast": "bfloat16, weights in float32"}.get(inputs.precision, inputs.precision)
    if learner.engine == "deepspeed":
        found += f", ZeRO {learner.deepspeed.stage}, offload {learner.deepspeed.offload}"
    return found + (", activations recomputed" if learner.gradient_checkpointing else "")


def show_roles(roles: Sequence[RoleMemory]) -> None:
    """One line a role, one column a kind."""
    from asyppo_cli import console
    from asyppo_cli.planning.memory import KINDS

    columns = [console.Column(name) for name in ("role", "ranks", "worst in")]
    columns += [console.Column(kind, "right") for kind in ("all", *KINDS)]
    rows = []
    for use in roles:
        kinds = use.device.by_kind()
        numbers = [gib(use.device.peak), *(gib(kinds[kind]) if kinds[kind] else "" for kind in KINDS)]
        rows.append([use.role, str(use.ranks), use.device.worst or "always", *numbers])
    console.table(columns, rows)


def show_memory_pools(memory_pools: Sequence[MemoryPool]) -> None:
    """One line a memory, and one a process in it."""
    from asyppo_cli import console

    rows: list[list[Any]] = []
    for place in memory_pools:
        known = place.capacity != float("inf")
        verdict = "" if not known else "fits" if place.fits else "does not fit"
        style = "bold" if place.fits else "bold red"
        name = place.name if place.count == 1 else f"{place.name}, each"
        room = f"of {gib(place.capacity)}" if known else ""
        rows.append([console.Cell(name, style), gib(place.used), room, console.Cell(verdict, style)])
        for process in place.processes:
            times = f" x {process.count}" if process.count > 1 else ""
            rows.append([f"  {process.name}{times}", gib(process.peak), "", process.use.worst or ""])
    console.table(
        [console.Column("place"), console.Column("GiB", "right"), console.Column(""), console.Column("")], rows
    )


def show_work(inputs: PlanInputs, work: Sequence[StepWork], rates: Rates) -> None:
    """One line a role; seconds only at rates that were measured."""
    from asyppo_cli import console
    from asyppo_cli.planning.work import TERA, seconds

    whole = sum(each.operations for each in work)
    rows = []
    for each in work:
        time = seconds(inputs, each, rates)
        rows.append(
            [
                each.role,
                count(each.tokens),
                f"{each.operations / TERA:,.0f}" if each.operations >= 100 * TERA else f"{each.operations / TERA:.3g}",
                f"{each.operations / whole:.0%}",
                "" if time is None else f"{time:,.1f}",
            ]
        )
    titles = ("role", "tokens", "TFLOP", "share", "seconds")
    console.table([console.Column(title, "left" if title == "role" else "right") for title in titles], rows)
    if rates.operations is None and rates.sampled is None:
        console.note("no seconds: they need speeds measured on the devices in question (--tflops, --sampled)")


def show_suggestion(result: MemoryEstimate, suggestion: Suggestion | None) -> None:
    """What does not fit, and the nearest change after which it does."""
    from asyppo_cli import console

    for place in result.memory_pools:
        if not place.fits:
            lacking = gib(place.used - place.capacity)
            console.error(f"{place.name} would need {gib(place.used)} GiB of {gib(place.capacity)}: {lacking} too many")
    if suggestion is None:
        console.print("No change that was tried makes it fit: take a smaller policy, more ranks or larger devices.")
        return
    costs = "; ".join(change.cost for change in suggestion.changes)
    console.print(f"nearest change that fits: {' '.join(suggestion.overrides)}  ({costs})")


def write(file: Path, data: dict[str, Any]) -> None:
    """The whole as JSON. ValueError where it cannot be written."""
    import json

    from asyppo_cli.runs.files.atomic import replace_text

    try:
        replace_text(file, json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise ValueError(f"--json {file}: {error.strerror}: choose another file") from error


def gib(size: float) -> str:
    """Bytes in GiB, as many digits as say something."""
    amount = size / 2**30
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.1f}" if amount >= 10 else f"{amount:.2f}"


def count(number: float) -> str:
    """A large number in words that are short."""
    for unit, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:.0f}"
