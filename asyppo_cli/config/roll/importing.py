"""From a ROLL-style file to an experiment of ours, and a report of what became of each key."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from asyppo_cli.config.groups import read_groups
from asyppo_cli.config.roll import rules
from asyppo_cli.config.roll.keys import IGNORED, OPTIMIZER, ROLL_DEFAULTS, SAME, SAME_WITH_CRITICS
from asyppo_cli.config.roll.placement import read_batches, read_micro_batches, read_placement
from asyppo_cli.config.roll.reading import read_roll
from asyppo_cli.config.roll.sheet import Sheet, SheetRow, nested
from asyppo_cli.keys import did_you_mean

BUILDS_ON = "large_model"


@dataclass(frozen=True)
class Imported:
    """An experiment: a ``name`` for it, its text as YAML, the same as overrides, what is ``missing`` to train it, and
    a row for each key of the file and for each thing that had to be chosen.
    """

    name: str
    text: str
    overrides: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class ExperimentFile:
    """A file that ``asyppo train --config-dir`` finds as an option of the group experiment."""

    path: Path

    @property
    def arguments(self) -> str:
        """What to give ``asyppo train`` to choose it."""
        return f"--config-dir {shlex.quote(str(self.path.parents[1]))} experiment={self.path.stem}"

    def write(self, text: str) -> None:
        """Write it, into folders made for it; ValueError if that cannot be."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ValueError(f"--output: cannot write {self.path}: {error.strerror}") from error


def experiment_file(path: Path) -> ExperimentFile:
    """Where an experiment is to be written; ValueError for a place where it would not be found, or that is taken."""
    path = path.expanduser()
    if path.suffix != ".yaml" or path.parent.name != "experiment" or not re.fullmatch(r"[\w.-]+", path.stem):
        name = re.sub(r"[^\w.-]+", "_", path.stem) or "imported"
        wanted = path.parent / "experiment" / f"{name}.yaml"
        raise ValueError(f"--output {path}: an experiment is found at FOLDER/experiment/NAME.yaml; write {wanted}")
    if path.exists():
        raise ValueError(f"--output {path} is there already: choose another name, or remove it first")
    if path.stem in read_groups("config", None)["experiment"].options:
        raise ValueError(f"--output {path}: there is an experiment {path.stem} already; choose another name")
    return ExperimentFile(path)


def import_roll(path: Path) -> Imported:
    """Read a ROLL-style file.

    Raises:
        ValueError: it cannot be read, has none of ROLL's keys, or asks for what is not there; the file is named.
    """
    values = read_roll(path)
    assumed = {key: value for key, value in ROLL_DEFAULTS.items() if values.get(key) is None}
    if values.get("async_generate_level") is not None:
        assumed.pop("async_generation_ratio", None)
    sheet = Sheet({**values, **assumed}, frozenset(assumed))
    try:
        _translate(sheet)
        _validate(sheet)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    name = re.sub(r"[^\w.-]+", "_", str(sheet.get("exp_name", path.stem))).strip("._") or "imported"
    missing = ("policy.model=PATH",) if "policy.model" not in sheet.settings else ()
    ground = SheetRow(
        "experiment", BUILDS_ON, "chosen", "engines, precision, records and grading that the file does not name"
    )
    # What ROLL assumes of keys that came to nothing is of no interest.
    idle = {key for key in assumed if key in sheet.rows and sheet.rows[key].fate == "ignored"}
    rows = [sheet.rows[key] for key in sheet.values if key in sheet.rows and key not in idle]
    text, overrides = _text(sheet, path.name), tuple(_overrides(sheet))
    return Imported(name, text, overrides, (*rows, ground, *sheet.chosen.values()), missing)


def _translate(sheet: Sheet) -> None:
    """All rules in turn; then every key has its row."""
    count = rules.read_method(sheet)
    critics = rules.critic_sections(sheet) if count else []
    rules.read_values(sheet, count)
    rules.read_models(sheet, critics)
    rules.read_lengths(sheet)
    rules.read_losses(sheet)
    rules.read_engines(sheet)
    rules.read_times(sheet)
    rules.read_data(sheet)
    if "evaluation.temperature" not in sheet.settings and "sampler.temperature" in sheet.settings:
        sheet.set("evaluation.temperature", sheet.settings["sampler.temperature"], note="as in training")
    policy_gpus, critic_gpus = read_placement(sheet, critics)
    rules.read_optimizer(sheet, "actor_train", "learner.policy")
    whole = _product(sheet, "rollout.prompts", "rollout.responses")
    per_device = {"actor_train": read_batches(sheet, "actor_train", "training", policy_gpus, whole)}
    if critics:
        rules.read_optimizer(sheet, critics[0], "learner.critics")
        share = max(1, whole // count)
        per_device[critics[0]] = read_batches(sheet, critics[0], "critics", critic_gpus, share)
    read_micro_batches(sheet, per_device)
    _compare_critics(sheet, critics)
    for key in list(sheet.left()):
        _leave(sheet, key)


def _product(sheet: Sheet, *settings: str) -> int:
    """A product of settings that are whole numbers (what is none is refused later, with all that is said of it)."""
    product = 1
    for name in settings:
        value = sheet.settings.get(name)
        product *= value if isinstance(value, int) and value > 0 else 1
    return product


def _compare_critics(sheet: Sheet, critics: Sequence[str]) -> None:
    """All critics share the first one's settings: say so of the others' keys, and where they differ."""
    first = critics[0] if critics else ""
    for key in list(sheet.left()):
        role, _, rest = key.partition(".")
        if role not in critics[1:]:
            continue
        like = sheet.rows.get(f"{first}.{rest}")
        if like is not None and sheet.get(f"{first}.{rest}") == sheet.get(key):
            sheet.add(key, like.fate, f"as {first}")
        elif like is not None:
            sheet.ignore(key, f"all critics share their settings here: {first}'s {like.value} counts")


def _leave(sheet: Sheet, key: str) -> None:
    """A key that no rule took: ignored for a reason that is known, or not understood."""
    why = next((why for pattern, why in IGNORED.items() if fnmatchcase(key, pattern)), None)
    if why is not None:
        return sheet.ignore(key, why)
    if sheet.values[key] is None:
        return sheet.ignore(key, "empty")
    sheet.add(key, "not understood", did_you_mean(key, known_keys(), limit=2))


def known_keys() -> list[str]:
    """Keys of ROLL that are taken, for those who mistyped one."""
    roles = ("actor_train", "critic", "critic_1", "critic_2")
    training = ("per_device_train_batch_size", "gradient_accumulation_steps", "lr_scheduler_type", *OPTIMIZER)
    return [
        *ROLL_DEFAULTS,
        *SAME,
        *SAME_WITH_CRITICS,
        *rules.GATES,
        *("pretrain", "reward_pretrain", "response_length", "num_return_sequences_in_group", "init_kl_coef"),
        *("loss_agg_mode", "async_generate_level", "async_generation_ratio", "dual_clip_loss", "use_kl_loss"),
        *(f"{role}.training_args.{name}" for role in roles for name in training),
        *(f"{role}.device_mapping" for role in (*roles, "actor_infer")),
    ]


def _overrides(sheet: Sheet) -> list[str]:
    from asyppo_cli.config.overrides import typed

    chosen = [f"{group}={option}" for group, option in sheet.choices.items()]
    return [f"experiment={BUILDS_ON}", *chosen, *(f"{key}={typed(value)}" for key, value in sheet.settings.items())]


def _validate(sheet: Sheet) -> None:
    """The settings must make a valid configuration; a fault names the key of the file that it comes from."""
    from asyppo_cli.config.load import load

    placeholder = ["policy.model=PATH"] if "policy.model" not in sheet.settings else []
    try:
        load([*_overrides(sheet), *placeholder])
    except ValueError as error:
        origin = next((theirs for ours, theirs in sheet.origins.items() if str(error).startswith(f"{ours}=")), None)
        raise ValueError(f"{origin}: {error}" if origin else str(error)) from error


def _text(sheet: Sheet, file: str) -> str:
    import yaml

    defaults: list[object] = [f"/experiment/{BUILDS_ON}"]
    defaults += [{f"override /{group}": option} for group, option in sheet.choices.items()]
    head = f"# @package _global_\n# Imported from {' '.join(file.split())} (ROLL).\n"
    body = {"defaults": defaults, **nested(sheet.settings)}
    return head + yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
