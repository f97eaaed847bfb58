"""From a word on the command line to a model: where it is, how it is identified, how it is sampled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyppo_cli.config.load import load, restore
from asyppo_cli.config.schema import Config
from asyppo_cli.engines.hf import gguf
from asyppo_cli.engines.hf.resolve import EMBEDDED, resolve_model
from asyppo_cli.engines.openai_protocol import Api, Server
from asyppo_cli.engines.openai_server import find_server
from asyppo_cli.runs.checkpoints import Checkpoint, checkpoints, choose_checkpoint, split_checkpoint
from asyppo_cli.runs.directory import RunDirectory, all_runs, find_run, name_in
from asyppo_cli.runs.evaluations import FOLDER, folder_name
from asyppo_cli.runs.listing import read_config

KEY = "--model"
SERVER_SCHEMES = ("http://", "https://")
WEIGHT_FILES = ("*.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
# Sections of a run's configuration that decide how it samples, and their keys; empty: all.
SAMPLED_BY: Mapping[str, tuple[str, ...]] = {
    "task": (),
    "policy": (),
    "sampler": (),
    "rollout": ("prompt_length", "response_length"),
    "evaluation": ("temperature", "problems"),
    "learner": ("device", "threads"),
}


@dataclass(frozen=True)
class ScoredModel:
    """A model to score. ``place`` is a folder or hub id, ``results`` the folder of its evaluations.

    ``weights`` identifies it; ``config`` gives the sampling settings that options leave open, and with ``own`` is the
    configuration of its training. ``note`` is shown to the user.
    """

    label: str
    place: str
    results: Path
    weights: str
    config: Config
    own: bool
    revision: str | None = None
    server: Server | None = None
    note: str | None = None


@dataclass(frozen=True)
class EvaluationPaths:
    """The folder of runs, and that of results: ``output`` None for a run's own folder or ./evaluations."""

    runs_dir: Path
    output: Path | None


@dataclass(frozen=True)
class ServerOptions:
    """Kind and number of requests to a server, and their timeout in seconds."""

    api: Api
    concurrency: int
    timeout: float


def resolve(word: str | None, paths: EvaluationPaths, server_options: ServerOptions) -> ScoredModel:
    """The model called ``word``; None: the newest run's.

    Raises:
        ValueError: there is no such model, or its files cannot be used.
    """
    if word is None:
        return run_model(find_run(paths.runs_dir, None), None, paths)
    if word.startswith(SERVER_SCHEMES):
        return server_model(word, paths, server_options)
    if word == gguf.SMOLLM2:
        return gguf_model(gguf.packaged_gguf(KEY), paths)
    if word.endswith(gguf.SUFFIX):
        return gguf_model(Path(word).expanduser(), paths)
    path = Path(word).expanduser()
    if path.is_dir() and not word.startswith(EMBEDDED):
        return folder_model(path, paths)
    name, which = split_checkpoint(paths.runs_dir, word)
    if not word.startswith(EMBEDDED) and (_is_run(name, paths) or "/" not in word):
        return run_model(_find_run(name, paths), which, paths)
    return plain_model(word, paths)


def run_model(run: RunDirectory, which: str | None, paths: EvaluationPaths) -> ScoredModel:
    """A run's checkpoint: the best by the run's own metric, else the newest; or the one asked for."""
    checkpoint, why = choose_checkpoint(run, which)
    return checkpoint_model(run, checkpoint, paths, f"{run.name}: the checkpoint of step {checkpoint.step}, {why}")


def checkpoint_model(
    run: RunDirectory, checkpoint: Checkpoint, paths: EvaluationPaths, note: str | None
) -> ScoredModel:
    """The policy of a checkpoint, sampled as its run samples."""
    damage = checkpoint.damage(thorough=False)
    if damage is not None:
        raise ValueError(f"{KEY}: the checkpoint {checkpoint.path} is damaged: {damage}")
    files = {name: entry["sha256"] for name, entry in checkpoint.files.items() if name.startswith("policy/")}
    label = f"{run.name}@{checkpoint.step}"
    results = run.path / FOLDER if paths.output is None else paths.output / folder_name(label)
    place = str(checkpoint.path / "policy")
    return ScoredModel(label, place, results, _digest(files), run_config(run), own=True, note=note)


def run_config(run: RunDirectory) -> Config:
    """A run's sampling settings in a configuration of this version; the run may be of an older one.

    Raises:
        ValueError: this version does not accept a value.
    """
    saved, merged = read_config(run), load([]).resolved
    for section, keys in SAMPLED_BY.items():
        known = saved.get(section, {})
        merged[section] |= {key: known[key] for key in keys or merged[section] if key in known}
    return restore(merged, [], run.config).config


def folder_model(path: Path, paths: EvaluationPaths) -> ScoredModel:
    """A folder: a run, a checkpoint (of a run or on its own), a Hugging Face model, or one with a GGUF file in it."""
    if RunDirectory(path).exists():
        return run_model(RunDirectory(path), None, paths)
    inside = path.parent if path.name == "policy" else path
    if (inside / "policy" / "config.json").is_file():
        return _checkpoint_folder(inside.resolve(), paths)
    files = sorted(path.glob(f"*{gguf.SUFFIX}"))
    if (path / "config.json").is_file() or not files:
        return plain_model(str(path), paths)
    if len(files) > 1:
        raise ValueError(f"{KEY} {path}: the folder holds {len(files)} GGUF files: name one of them")
    return gguf_model(files[0], paths)


def _checkpoint_folder(path: Path, paths: EvaluationPaths) -> ScoredModel:
    run = RunDirectory(path.parent.parent)
    if not run.exists():
        return plain_model(str(path / "policy"), paths, label=path.name)
    found = next((checkpoint for checkpoint in checkpoints(run.checkpoints) if checkpoint.path.name == path.name), None)
    if found is None:
        raise ValueError(f"{KEY} {path}: that checkpoint was never completed")
    return checkpoint_model(run, found, paths, None)


def plain_model(word: str, paths: EvaluationPaths, label: str | None = None) -> ScoredModel:
    """A Hugging Face folder or id, or an embedded model, which is sampled as in the default run."""
    place = resolve_model(word, KEY)
    is_folder = Path(place).is_dir()
    embedded = word.startswith(EMBEDDED)
    name = label or (word if embedded or not is_folder else Path(place).resolve().name)
    weights = folder_digest(Path(place)) if is_folder else hub_revision(place)
    config = load([]).config if embedded else paper_config()
    revision = None if is_folder else weights.removeprefix("hub:")
    return ScoredModel(name, place, results_folder(paths, name), weights, config, own=embedded, revision=revision)


def gguf_model(path: Path, paths: EvaluationPaths) -> ScoredModel:
    """A GGUF file, converted at first use."""
    folder = gguf.convert(path, gguf.cache_folder(), KEY)
    found = plain_model(str(folder), paths, label=path.stem)
    return ScoredModel(**{**vars(found), "weights": "gguf:" + gguf.file_digest(path)[:16]})


def server_model(word: str, paths: EvaluationPaths, server_options: ServerOptions) -> ScoredModel:
    """A model behind a server: ``URL`` or ``URL#MODEL``."""
    url, _, name = word.partition("#")
    server = find_server(url, name or None, server_options.api, server_options.concurrency, server_options.timeout)
    weights = f"server:{url}#{server.model}"
    results = results_folder(paths, server.model)
    return ScoredModel(server.model, "", results, weights, paper_config(), own=False, server=server)


def paper_config() -> Config:
    """The default configuration with the sampling of the paper's appendix, for models without a run."""
    sampling = ["sampler.temperature=0.99", "sampler.top_p=0.99", "sampler.top_k=100", "evaluation.temperature=0.99"]
    return load([*sampling, "rollout.prompt_length=1024", "rollout.response_length=8000"]).config


def results_folder(paths: EvaluationPaths, label: str) -> Path:
    """The folder of results of a model without a run."""
    return (Path(FOLDER) if paths.output is None else paths.output) / folder_name(label)


def folder_digest(folder: Path) -> str:
    """A hash of a model in Hugging Face form: weights, architecture, tokenizer, chat template."""
    names = sorted(path for pattern in WEIGHT_FILES for path in folder.glob(pattern))
    return _digest({path.name: gguf.file_digest(path) for path in names})


def hub_revision(model: str) -> str:
    """The commit of a hub model that will be loaded, from the cache or else the hub."""
    from asyppo_cli.engines.hf.models import read_model_config

    config = read_model_config(model, None, KEY)
    return f"hub:{getattr(config, '_commit_hash', None) or 'unknown'}"


def _is_run(name: str, paths: EvaluationPaths) -> bool:
    return any(name_in(paths.runs_dir, run).startswith(name) for run in all_runs(paths.runs_dir)) if name else False


def _find_run(name: str, paths: EvaluationPaths) -> RunDirectory:
    try:
        return find_run(paths.runs_dir, name)
    except ValueError as error:
        kinds = "a run, a folder, a hub id (OWNER/NAME), embedded:NAME, FILE.gguf or http://HOST:PORT/v1"
        raise ValueError(f"{KEY} {name}: {error}; a model is {kinds}") from error


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
