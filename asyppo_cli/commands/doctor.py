"""``asyppo doctor``: what is installed and works here, and what to do about what does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyppo_cli.commands.config import ConfigDir, Overrides

if TYPE_CHECKING:
    from asyppo_cli.doctor.findings import Finding

EXAMPLES = """Examples:

asyppo doctor

asyppo doctor cluster=ray learner=deepspeed

asyppo doctor sampler=vllm --deep
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def doctor(
    overrides: Overrides = None,
    deep: Annotated[bool, typer.Option("--deep", help="Start vLLM, Ray and DeepSpeed for real: minutes.")] = False,
    runs_dir: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    storage: Annotated[str | None, typer.Option(help="Address of a study's data base, to check its driver.")] = None,
    config_dir: ConfigDir = None,
) -> None:
    """See what is installed and works here, for a configuration, and what to do where something does not."""
    from asyppo_cli import console
    from asyppo_cli.config.load import load
    from asyppo_cli.doctor.findings import carry_out
    from asyppo_cli.doctor.rounds import checks

    config = load(overrides or [], config_dir).config
    console.note("starting engines for real, which takes minutes" if deep else "looking around")
    findings = carry_out(checks(config, runs_dir, storage, deep))
    show(findings)
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)


def show(findings: Sequence[Finding]) -> None:
    """All findings; then faults and warnings apart, each with its fix."""
    from asyppo_cli import console

    styles = {"fine": "green", "warning": "bold yellow", "fault": "bold red"}
    rows: list[list[Any]] = [[console.Cell(f.state, styles[f.state]), f.subject, f.text] for f in findings]
    console.table([console.Column(""), console.Column("what"), console.Column("found", wrap=True)], rows)
    for state, say in (("warning", console.warn), ("fault", console.error)):
        for finding in findings:
            if finding.state == state:
                say(f"{finding.subject}: {finding.text}: {finding.fix}")
    faults = sum(finding.state == "fault" for finding in findings)
    console.print("this configuration can run" if not faults else f"this configuration cannot run: {faults} fault(s)")
