"""``asyppo warmstart``: a base to start from, by supervised training on worked traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asyppo_cli.commands.config import ConfigDir, Overrides

EXAMPLES = """Examples:

asyppo warmstart --output models/base

asyppo warmstart --output models/critic recipe=critic model=models/base

asyppo warmstart --output models/mine recipe=pretrained model=PATH traces=FILE
"""

WEIGHTS = "model.safetensors"

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def warmstart(
    output: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    overrides: Overrides = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace a model that is there.")] = False,
    config_dir: ConfigDir = None,
) -> None:
    """Train a model on worked traces, so that reinforcement learning has something to improve."""
    from asyppo_cli import console, display
    from asyppo_cli.config.load import load_warmstart
    from asyppo_cli.display.run_board import warmstart_board
    from asyppo_cli.runs import metrics as names

    check_output(output, fresh)
    config = load_warmstart(overrides or [], config_dir).config
    monitor = display.monitor(warmstart_board())
    try:
        monitor.phase("start")
        from asyppo_cli.builders.warmstart import warm_start

        scores = warm_start(config, output, monitor)
    except KeyboardInterrupt as error:
        kept = f"what was learnt so far is in {output}/" if (output / WEIGHTS).exists() else "no model was written"
        raise KeyboardInterrupt(f"stopped: {kept}") from error
    finally:
        monitor.close()
    accuracy, halfwidth = scores[names.ACCURACY], scores[names.ACCURACY_HALFWIDTH]
    console.print(f"held-out accuracy {100 * accuracy:.1f} ± {100 * halfwidth:.1f} %, model in {output}/")
    console.print(f"next: asyppo train policy.model={output} critic_size=third")


def check_output(output: Path, fresh: bool) -> None:
    """Make the folder for the model. ValueError if it cannot be, or holds one that is not to be replaced."""
    if (output / "config.json").exists() and not fresh:
        raise ValueError(f"--output {output} holds a model already: choose another folder, or --fresh to replace it")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output {output}: {error.strerror}: choose another folder") from error
