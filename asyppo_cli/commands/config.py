"""``asyppo config``: show, list and explain what can be configured, and read what was configured for ROLL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from asyppo_cli.config.groups import Group
    from asyppo_cli.config.load import Loaded
    from asyppo_cli.config.roll.importing import Imported
    from asyppo_cli.config.schema import Config, WarmstartConfig
    from asyppo_cli.config.settings import Settings

app = typer.Typer(add_completion=False, help="Show and explain the configuration.")


def complete_overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """Overrides for the shell, of whichever command takes them."""
    from asyppo_cli.config.completion import complete_words

    warmstart = ctx.info_name == "warmstart" or bool(ctx.params.get("warmstart"))
    return complete_words(ctx.params.get("overrides") or [], incomplete, primary(warmstart))


def complete_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys, sections and groups for the shell."""
    from asyppo_cli.config.completion import complete_key

    return complete_key(incomplete, primary(bool(ctx.params.get("warmstart"))))


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Settings in Hydra's grammar: group=option or key=value.",
        show_default=False,
        autocompletion=complete_overrides,
    ),
]
ConfigDir = Annotated[Path | None, typer.Option(help="Folder with configuration groups of your own.")]
Warmstart = Annotated[bool, typer.Option("--warmstart", help="What asyppo warmstart takes, not asyppo train.")]

SHOW = """Examples:

asyppo config show

asyppo config show algorithm=dapo mask_pct=0.15

asyppo config show --warmstart recipe=critic
"""
LIST = """Examples:

asyppo config ls

asyppo config ls algorithm
"""
DESCRIBE = """Examples:

asyppo config describe gates.mask_pct

asyppo config describe critic_size

asyppo config describe algorithm=vapo

asyppo config describe advantage algorithm=vapo
"""
IMPORT = """Examples:

asyppo config import rlvr_config.yaml

asyppo config import rlvr_config.yaml --output mine/experiment/rlvr.yaml
"""


@app.command("show", epilog=SHOW)
def show_command(overrides: Overrides = None, config_dir: ConfigDir = None, warmstart: Warmstart = False) -> None:
    """Print the configuration that these overrides make, checked and resolved, as YAML."""
    import yaml

    from asyppo_cli import console

    loaded = compose(overrides or [], config_dir, warmstart)
    console.yaml(yaml.safe_dump(loaded.resolved, sort_keys=False, allow_unicode=True))


@app.command("ls", epilog=LIST)
def list_command(
    group: Annotated[
        str | None, typer.Argument(help="One group only.", show_default=False, autocompletion=complete_names)
    ] = None,
    config_dir: ConfigDir = None,
    warmstart: Warmstart = False,
) -> None:
    """List the groups with their options; a star marks what is taken by default."""
    settings, groups = vocabulary(config_dir, warmstart)
    if group is not None and group not in groups:
        from asyppo_cli.config.describe import unknown

        raise unknown(group, settings, groups)
    for name in groups if group is None else [group]:
        print_options(groups[name])


@app.command("describe", epilog=DESCRIBE)
def describe_command(
    name: Annotated[
        str,
        typer.Argument(metavar="KEY", help="A key, a section, a group or group=option.", autocompletion=complete_names),
    ],
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    warmstart: Warmstart = False,
) -> None:
    """Explain a key, a section, a group or an option: what it means, what is allowed, what it is now, what sets it."""
    from asyppo_cli.config.describe import unknown

    settings, groups = vocabulary(config_dir, warmstart)
    group, equals, option = name.partition("=")
    if equals and group in groups:
        return print_option(groups[group], option)
    if name not in settings and name not in settings.sections and name not in groups:
        raise unknown(name, settings, groups)
    loaded = compose(overrides or [], config_dir, warmstart)
    if name in groups:
        print_group(groups[name])
    if name in settings.sections:
        print_section(name, settings, loaded)
    if name in settings:
        print_key(name, settings, groups, loaded)


@app.command("import", epilog=IMPORT)
def import_command(
    file: Annotated[Path, typer.Argument(help="A YAML file of ROLL's form, with the paper's keys or without.")],
    output: Annotated[
        Path | None, typer.Option(help="Write the experiment: FOLDER/experiment/NAME.yaml.", show_default=False)
    ] = None,
) -> None:
    """Turn a ROLL-style file into an experiment of ours, and say key by key what was taken, ignored and why."""
    from asyppo_cli import console
    from asyppo_cli.config.roll.importing import experiment_file, import_roll

    target = None if output is None else experiment_file(output)
    imported = import_roll(file)
    print_import(imported)
    if target is None:
        wanted = f"--output FOLDER/experiment/{imported.name}.yaml"
        return console.note(f"nothing was written: {wanted} makes it an experiment")
    target.write(imported.text)
    console.heading("written; check it and train it with")
    for option in ("--dry-run ", ""):
        console.print(" ".join([f"asyppo train {option}{target.arguments}", *imported.missing]))


def print_import(imported: Imported) -> None:
    """A table for each fate, of the keys that met it."""
    from asyppo_cli import console
    from asyppo_cli.config.roll.sheet import FATES

    titles = {
        "assumed": "not in the file, so that ROLL's default counts",
        "chosen": "not in the file, so that asyppo chooses",
    }
    heads = {"taken": "as", "assumed": "as", "chosen": "because", "ignored": "because", "not understood": ""}
    columns = [console.Column("key", style="bold"), console.Column("value", wrap=True)]
    for fate in FATES:
        rows = [(row.key, row.value, row.result) for row in imported.rows if row.fate == fate]
        if rows:
            console.heading(f"{titles.get(fate, fate)} ({len(rows)})")
            console.table([*columns, console.Column(heads[fate], wrap=True)], rows)


def primary(warmstart: bool) -> str:
    """The primary configuration that is asked about."""
    return "warmstart" if warmstart else "config"


def compose(overrides: list[str], config_dir: Path | None, warmstart: bool) -> Loaded[Config] | Loaded[WarmstartConfig]:
    """The configuration asked about."""
    from asyppo_cli.config.load import load, load_warmstart

    return load_warmstart(overrides, config_dir) if warmstart else load(overrides, config_dir)


def vocabulary(config_dir: Path | None, warmstart: bool) -> tuple[Settings, dict[str, Group]]:
    """The keys and groups there are."""
    from asyppo_cli.config.groups import read_groups
    from asyppo_cli.config.schema import Config, WarmstartConfig
    from asyppo_cli.config.settings import read_settings

    schema = WarmstartConfig if warmstart else Config
    return read_settings(schema), read_groups(primary(warmstart), config_dir)


def print_options(group: Group) -> None:
    """A group's name and options, each with its description."""
    from asyppo_cli import console
    from asyppo_cli.config.groups import description

    console.heading(f"{group.name}{'  (or a number)' if group.takes_number else ''}")
    columns = [console.Column(""), console.Column("", style="bold"), console.Column("", wrap=True)]
    rows = [("*" if name == group.default else " ", name, description(file)) for name, file in group.options.items()]
    console.table(columns, rows)


def print_group(group: Group) -> None:
    """A group's options, what a number stands for, and the keys it sets."""
    from asyppo_cli import console
    from asyppo_cli.config.describe import keys_set, meaning_of_number

    print_options(group)
    console.print()
    facts = [("a number", meaning_of_number(group))] if group.takes_number else []
    console.pairs([*facts, ("sets", ", ".join(keys_set(group)) or "nothing"), ("default", group.default or "none")])


def print_option(group: Group, option: str) -> None:
    """An option: what it is, chooses and sets."""
    from asyppo_cli import console
    from asyppo_cli.config.describe import describe_option

    found = describe_option(group, option)
    console.heading(f"{group.name}={option}{'  (the default)' if option == group.default else ''}")
    console.print(found.meaning)
    chooses = [("with" if number == 0 else "", choice) for number, choice in enumerate(found.chooses)]
    sets = [
        ("sets" if number == 0 else "", f"{key}: {value}") for number, (key, value) in enumerate(found.sets.items())
    ]
    console.pairs([*chooses, *sets])


def print_section(name: str, settings: Settings, loaded: Loaded[Config] | Loaded[WarmstartConfig]) -> None:
    """What a section is about, and its keys with values and meanings."""
    from asyppo_cli import console
    from asyppo_cli.config.describe import value_of

    console.heading(f"{name}: {settings.sections[name]}")
    columns = [console.Column("key", style="bold"), console.Column(tense(loaded)), console.Column("allowed", wrap=True)]
    columns += [console.Column("meaning", wrap=True)]
    console.table(
        columns,
        [(s.key, value_of(s.key, loaded.resolved), s.allowed, s.meaning) for s in settings.within(name)],
    )


def tense(loaded: Loaded[Config] | Loaded[WarmstartConfig]) -> str:
    """Whether a value is what there is by default, or what overrides make of it."""
    return "now" if loaded.overrides else "default"


def print_key(
    name: str, settings: Settings, groups: Mapping[str, Group], loaded: Loaded[Config] | Loaded[WarmstartConfig]
) -> None:
    """All about one key."""
    from asyppo_cli import console
    from asyppo_cli.config.describe import describe_key

    found = describe_key(name, settings, groups, loaded.resolved)
    console.heading(name)
    console.pairs(
        [
            ("meaning", found.setting.meaning),
            (
                "allowed",
                ("any keys, each " if name == found.setting.key and found.setting.open else "") + found.setting.allowed,
            ),
            (tense(loaded), found.value or "not set"),
            *(
                ("set by" if number == 0 else "", f"{option}: {value}")
                for number, (option, value) in enumerate(found.set_by.items())
            ),
        ]
    )
