"""From a configuration to a training run's objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from asyppo_cli.algorithm.critics import Split
from asyppo_cli.builders.roles import Cluster, build_roles, check_placement
from asyppo_cli.builders.samplers import check_context, check_sampler, check_vocabulary, sampling_params
from asyppo_cli.config.inert import scored_by_verifier
from asyppo_cli.config.schema import Config
from asyppo_cli.engines.hf.tokenizer import HuggingFaceTokenizer, check_same_tokenizer, load_tokenizer
from asyppo_cli.evaluation.heldout import HeldOut
from asyppo_cli.extensions.files import find_extensions
from asyppo_cli.extensions.function import Extension
from asyppo_cli.keys import did_you_mean
from asyppo_cli.monitor import Monitor
from asyppo_cli.ports import Grader, Journal, Learner, Sampler
from asyppo_cli.runs import metrics as names
from asyppo_cli.tasks.data.problems import load_problems
from asyppo_cli.tasks.data.prompts import PromptStream, check_prompt_lengths, render
from asyppo_cli.tasks.data.stream import ProblemStream
from asyppo_cli.tasks.grading.golds import check_golds
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.tasks.grading.reward_pool import RewardPool
from asyppo_cli.training import user_functions
from asyppo_cli.training.clock import Clock
from asyppo_cli.training.estimate import Estimator
from asyppo_cli.training.loop import Loop
from asyppo_cli.training.objectives import PolicyObjective, ValueObjective
from asyppo_cli.training.reporting.health import SamplerAgreement
from asyppo_cli.training.reporting.probes import RESPONSES, Probes
from asyppo_cli.training.reporting.recording import Recorder
from asyppo_cli.training.rewards import reward
from asyppo_cli.training.rollouts.rollout import Rollout
from asyppo_cli.training.rollouts.source import DynamicSampler, RolloutSource
from asyppo_cli.training.seeds import derive_seed
from asyppo_cli.training.step import TrainStep
from asyppo_cli.training.update import CriticUpdate, Passes, PolicyUpdate
from asyppo_cli.types import PolicyOutputs, Problem, Prompt, ValueOutputs

# Procedural problems whose length is looked at before the start.
CHECKED = 256
# Every run is scored on the same draw of its held-out set, whatever its seed.
EVALUATION_SEED = 0
REWARDS = "rewards.function"


@dataclass(frozen=True)
class RunInputs:
    """What a run needs before any weight is loaded, checked: tokenizer, problems, prompts; and notes for the user."""

    tokenizer: HuggingFaceTokenizer
    prompts_at: Callable[[int, int], Sequence[Prompt]]
    heldout: Sequence[Prompt]
    notes: Sequence[str] = ()


def load_inputs(config: Config) -> RunInputs:
    """Load and check everything but weights.

    Raises:
        ValueError: a model or file that is not there, tokenizers that differ, a token beyond the
            embedding, prompts or a context that do not fit, no gold answer that can be read.
    """
    check_best_metric(config)
    check_placement(config)
    check_sampler(config)
    tokenizer = load_tokenizer(config.policy.model, config.policy.revision, "policy.model")
    check_context(config.policy.model, config.policy.revision, "policy.model", config.rollout)
    check_vocabulary(tokenizer, config.policy.model, config.policy.revision, "policy.model")
    if config.critics.count and config.critics.model is not None:
        critic_tokenizer = load_tokenizer(config.critics.model, None, "critics.model")
        check_same_tokenizer(tokenizer, critic_tokenizer, config.critics.model)
        check_context(config.critics.model, None, "critics.model", config.rollout)
        check_vocabulary(tokenizer, config.critics.model, None, "critics.model")
    return load_prompts(config, tokenizer)


def load_prompts(config: Config, tokenizer: HuggingFaceTokenizer) -> RunInputs:
    """Problems as prompts, without those that are too long, or (task.overlong=error) refused if one is.

    Problems of a file are all checked; procedural ones are made when they are drawn: the first of them, or all that the
    run will draw, are checked.
    """
    train, heldout = load_problems(config.task, config.seed, config.evaluation.problems)
    to_prompt, limit = partial(render, tokenizer, config.task.system_prompt), config.rollout.prompt_length
    generated, strict = config.task.source == "reasoning_gym", config.task.overlong == "error"
    prompts = PromptStream(train, ProblemStream(len(train), config.seed), to_prompt, limit)
    rounds = config.rewards.max_resamples if config.rewards.drop_uniform_groups else 1
    wanted = config.max_steps * config.rollout.prompts * rounds if strict else CHECKED
    drawn = prompts.drawn(min(len(train), wanted) if generated else len(train))
    held = [to_prompt(problem) for problem in heldout]
    notes = unread_golds(config, [] if generated else [*heldout, *train])
    for kind, found in (("training", drawn), ("held-out", held)):
        dropped = sum(len(prompt.tokens) > limit for prompt in found)
        if strict or dropped == len(found):
            check_prompt_lengths(found, limit, "rollout.prompt_length")
        elif dropped:
            which = f"of the first {len(found):,}" if generated and kind == "training" else f"of {len(found):,}"
            notes.append(
                f"task.overlong=drop: {dropped:,} {which} {kind} problems have more than rollout.prompt_length={limit} "
                "tokens and are left out"
            )
    return RunInputs(tokenizer, prompts, [prompt for prompt in held if len(prompt.tokens) <= limit], notes)


def unread_golds(config: Config, problems: Sequence[Problem]) -> list[str]:
    """A note on gold answers that cannot be read, if any; ValueError if none can and rewards need them."""
    if not scored_by_verifier(config):
        return []
    with closing(build_grader(config)) as grader:
        found = check_golds(grader, problems)
    return [found] if found else []


def check_best_metric(config: Config) -> None:
    """ValueError if checkpoints are to be ranked by what is never measured."""
    metric, known = config.checkpoints.best_metric, names.known(config.critics.count)
    if metric is not None and metric not in known and not names.is_component(metric):
        raise ValueError(f"checkpoints.best_metric={metric}: there is no such metric; {did_you_mean(metric, known)}")


def build_grader(config: Config) -> GraderPool:
    """The pool that judges answers. It holds processes: close it."""
    return GraderPool(config.grading.workers, config.grading.deadline)


def build_loop(
    config: Config,
    inputs: RunInputs,
    grader: Grader,
    journal: Journal,
    monitor: Monitor,
    cluster: Cluster | None = None,
    logs: Path | None = None,
    extensions: Mapping[str, Extension] | None = None,
    rewards: RewardPool | None = None,
) -> Loop:
    """All roles of a run, wired; ``cluster`` None: all of them in this process. vLLM's log is ``LOGS-vllm-0.log``;
    ``extensions`` are the user's functions by key, ``rewards`` what scores responses in place of ``grader``.
    """
    own = extensions or {}
    tokenizer = inputs.tokenizer
    monitor.phase("load models")
    roles = build_roles(config, tokenizer, cluster, monitor.note, logs)
    note_idle_gates(config, monitor)
    sampler = build_sampling(config, inputs, roles.sampler, grader, rewards)
    source = RolloutSource(sampler, config.rollout.async_generate_level, config.max_steps)
    step = TrainStep(
        seed=config.seed,
        source=source,
        reward=lambda rollout: reward(rollout, config.rewards, config.rollout.response_length),
        estimator=Estimator(config.advantage, config.critics, config.gates, config.policy_loss, own),
        policy=build_policy_update(config, roles.policy, own),
        critics=build_critic_update(config, roles.critics, roles.overlap.critics, own),
        reference=roles.reference,
        warmup_steps=config.critics.warmup_steps if roles.critics else 0,
        together=roles.overlap.policy,
    )
    probes = build_probes(config, inputs, step, sampler)
    return Loop(
        max_steps=config.max_steps,
        evaluation=config.evaluation,
        checkpoints=config.checkpoints,
        train_step=step,
        source=source,
        learners={"policy": roles.policy, **{f"critic_{m}": critic for m, critic in enumerate(roles.critics)}},
        evaluate=build_heldout(config, inputs, roles.sampler, grader, rewards).evaluate,
        recorder=Recorder(config.records, journal, tokenizer.token_text, config.sampler.temperature, probes),
        save_tokenizer=tokenizer.save,
        peak_memory=roles.peak_memory,
        logprob_diff_warning=config.sampler.logprob_diff_warning,
        agreement=SamplerAgreement(config.sampler.logprob_diff_limit),
        journal=journal,
        monitor=monitor,
    )


def build_probes(config: Config, inputs: RunInputs, step: TrainStep, sampler: DynamicSampler) -> Probes | None:
    """The first held-out prompts, answered anew through training; None where nothing is recorded."""
    prompts = inputs.heldout[: config.records.probes]
    if not prompts or not config.records.every:
        return None
    params = replace(sampler.params, seed=derive_seed(EVALUATION_SEED, "probes", 0))

    def answer(asked: Sequence[Prompt]) -> Rollout:
        return sampler.answer(asked, RESPONSES, params, Clock(None))

    return Probes(prompts, answer, step.reward, step.policy.policy, step.critics, step.estimator, params.seed)


def build_rewards(config: Config, extensions: Mapping[str, Extension]) -> RewardPool | None:
    """What scores responses in processes of its own: close it; None where the verifier does."""
    if scored_by_verifier(config):
        return None
    return RewardPool(config.rewards, extensions.get(REWARDS), config.grading.workers)


def rehearse_extensions(config: Config) -> None:
    """Load every function of the user's; ValueError if one is not there or cannot be called."""
    extensions = find_extensions(config.model_dump())
    for key, extension in extensions.items():
        if key != REWARDS:
            extension.function()
    # Loaded in a process of its own, as in training.
    with build_rewards(config, extensions) or nullcontext():
        pass


def build_sampling(
    config: Config, inputs: RunInputs, sampler: Sampler, grader: Grader, rewards: RewardPool | None
) -> DynamicSampler:
    """How the batch of a step is sampled, graded and scored."""
    rollout = config.rollout
    return DynamicSampler(
        sampler=sampler,
        grader=grader,
        tokenizer=inputs.tokenizer,
        prompts_at=inputs.prompts_at,
        seed=config.seed,
        prompts=rollout.prompts,
        responses=rollout.responses,
        params=sampling_params(config.sampler, rollout.response_length, config.sampler.temperature, 0),
        max_rounds=config.rewards.max_resamples if config.rewards.drop_uniform_groups else 1,
        unfinished=config.rewards.unfinished_reasoning,
        rewards=rewards,
    )


def build_policy_update(
    config: Config, policy: Learner[PolicyOutputs], extensions: Mapping[str, Extension]
) -> PolicyUpdate:
    """The policy's loss and passes."""
    loss = config.policy_loss
    objective = PolicyObjective(
        clip_low=loss.clip_low,
        clip_high=loss.clip_high,
        dual_clip=loss.dual_clip,
        ratio=loss.ratio,
        entropy_coef=loss.entropy_coef,
        kl_coef=loss.kl_coef if loss.kl_in == "loss" else 0.0,
        kl_form=loss.kl_form,
        nll_coef=loss.nll_coef,
        importance_cap=loss.importance_cap,
        surrogate=extensions.get("policy_loss.surrogate"),
    )
    passes = Passes(config.training.utd, config.training.mini_batches)
    return PolicyUpdate(policy, objective, passes, loss.aggregation, config.rollout.response_length)


def build_critic_update(
    config: Config, critics: Sequence[Learner[ValueOutputs]], together: bool, extensions: Mapping[str, Extension]
) -> CriticUpdate | None:
    """The critics' loss and passes; None where there are none."""
    if not critics:
        return None
    passes = Passes(config.critics.epochs, config.critics.mini_batches)
    own = extensions.get("critics.split")
    split = cast("Split", config.critics.split) if own is None else user_functions.split(own)
    return CriticUpdate(critics, ValueObjective(config.critics.value_clip), passes, split, together)


def build_heldout(
    config: Config, inputs: RunInputs, sampler: Sampler, grader: Grader, rewards: RewardPool | None = None
) -> HeldOut:
    """The held-out evaluation of a run."""
    seed = derive_seed(EVALUATION_SEED, "evaluate", 0)
    params = sampling_params(config.sampler, config.rollout.response_length, config.evaluation.temperature, seed)
    rows, samples = config.sampler.batch_size, config.evaluation.samples
    unfinished = config.rewards.unfinished_reasoning
    return HeldOut(inputs.heldout, samples, params, rows, sampler, grader, inputs.tokenizer, unfinished, rewards)


def note_idle_gates(config: Config, monitor: Monitor) -> None:
    """Say so when gates are asked for that nothing can drive."""
    gates, count = config.gates, config.critics.count
    by_disagreement = (gates.mask_pct > 0 and gates.mask_signal == "value_std") or (
        gates.entropy_filter_pct > 0 and gates.entropy_filter_signal == "value_std"
    )
    if by_disagreement and count < 2:
        who = "one critic" if count == 1 else "no critic"
        monitor.note(f"{who}: nothing can disagree, so the gates by value-std are off")
