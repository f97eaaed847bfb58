"""Where the roles of a run live: in this process, or as groups of processes in a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asyppo_cli.builders.device import peak_memory, set_threads
from asyppo_cli.builders.learners import build_critic_learner, build_policy_learner, build_reference, check_engine
from asyppo_cli.builders.samplers import build_sampler, pick_engine
from asyppo_cli.config.schema import Config
from asyppo_cli.engines.hf.tokenizer import HuggingFaceTokenizer, load_tokenizer
from asyppo_cli.engines.ray.cluster import check_ray, connected
from asyppo_cli.engines.ray.placement import PlacementPlan, Role, plan_placement
from asyppo_cli.engines.torch.disk_adamw import check_moments_dir
from asyppo_cli.engines.torch.malloc import set_trim_thresholds
from asyppo_cli.engines.vllm.sampler import pick_sync
from asyppo_cli.monitor import Monitor
from asyppo_cli.ports import Learner, Sampler
from asyppo_cli.runs import metrics as names
from asyppo_cli.types import PolicyOutputs, ValueOutputs

if TYPE_CHECKING:
    from asyppo_cli.engines.ray.actors import ClusterActors

SECTIONS = ("policy", "critics", "sampler")


@dataclass(frozen=True)
class Overlap:
    """Who may learn at the same time: the critics, each in processes of its own; the policy beside the critics."""

    critics: bool
    policy: bool


@dataclass(frozen=True)
class Roles:
    """Everything that holds a model. ``peak_memory`` gives bytes under the names of metrics."""

    sampler: Sampler
    reference: Learner[PolicyOutputs] | None
    policy: Learner[PolicyOutputs]
    critics: Sequence[Learner[ValueOutputs]]
    overlap: Overlap
    peak_memory: Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Cluster:
    """Places in a Ray cluster, reserved for the roles of a run."""

    plan: PlacementPlan
    actors: ClusterActors


def check_placement(config: Config) -> None:
    """What can be known of engines and placement without a cluster.

    Raises:
        ValueError: an engine is missing, or settings contradict each other.
    """
    check_engine(config.learner)
    cluster, device = config.cluster, config.learner.device
    for section in SECTIONS:
        placement = getattr(cluster, section)
        if placement.first_gpu is not None and cluster.kind == "local":
            raise ValueError(f"cluster.{section}.first_gpu={placement.first_gpu} needs cluster=ray")
        if placement.first_gpu is not None and device == "cpu":
            raise ValueError(f"cluster.{section}.first_gpu={placement.first_gpu}, but learner.device=cpu: drop one")
        if placement.first_gpu is None and device == "cuda" and cluster.kind == "ray":
            raise ValueError(f"learner.device=cuda, but cluster.{section}.first_gpu is null: name its first GPU")
        if placement.ranks > 1 and section != "sampler" and config.learner.engine == "torch":
            raise ValueError(f"cluster.{section}.ranks={placement.ranks} needs learner=deepspeed: torch knows one rank")
    if config.learner.moments_dir is not None and cluster.kind == "local":
        check_moments_dir(Path(config.learner.moments_dir).expanduser())
    if cluster.kind == "ray":
        check_ray()
        check_samplers(config)


def check_samplers(config: Config) -> None:
    """ValueError if some of the samplers could never get work, or would need more than one GPU each."""
    ranks, rollout = config.cluster.sampler.ranks, config.rollout
    match pick_engine(config.sampler.engine, config.policy.model):
        case "transformers":
            shares = -(-rollout.prompts // share_of_prompts(config, rollout.prompts, rollout.responses))
            if shares < ranks:
                fitting = rollout.prompts // ranks * rollout.responses
                raise ValueError(
                    f"cluster.sampler.ranks={ranks}: with sampler.batch_size={config.sampler.batch_size} a step is "
                    f"drawn in {shares}, which keeps only as many busy: set sampler.batch_size={fitting} or less"
                )
        case "vllm":
            # Whether there is a GPU follows from the placement.
            pick_sync(config.sampler.vllm, "cuda")
            if not config.sampler.vllm.own_process and config.sampler.vllm.tensor_parallel > 1:
                raise ValueError(
                    f"sampler.vllm.tensor_parallel={config.sampler.vllm.tensor_parallel} with cluster=ray needs "
                    "sampler.vllm.own_process=true: a process learns of its further GPUs before it starts"
                )


def rehearse_placement(config: Config) -> None:
    """Join or start the cluster and see whether the roles fit; see :func:`open_cluster`."""
    if config.cluster.kind == "ray":
        with connected(config.cluster.address) as resources:
            plan = plan_placement(roles_of(config), resources, config.cluster.cpus_per_rank)
            weight_path(config, plan)


@contextmanager
def open_cluster(config: Config, shared: Path, logs: Path, monitor: Monitor) -> Iterator[Cluster | None]:
    """Places for all roles, for as long as the block lasts; None where everything is in this process.

    ``shared`` is a file that all machines must see; a process's log is ``logs`` with its role and rank.

    Raises:
        ValueError: no cluster answers, or it is too small.
    """
    if config.cluster.kind == "local":
        yield None
        return
    monitor.phase("join cluster")
    with connected(config.cluster.address) as resources:
        from asyppo_cli.engines.ray.actors import ClusterActors, WorkerSettings

        plan = plan_placement(roles_of(config), resources, config.cluster.cpus_per_rank)
        if resources.get("GPU") and not plan.gpus:
            monitor.note(f"the cluster has {resources['GPU']:g} GPUs, and no role has a first_gpu: all run on cores")
        workers = WorkerSettings(Path.cwd(), shared.resolve(), logs.resolve(), config.cluster.timeout)
        with closing(ClusterActors(plan, workers, monitor.note)) as actors:
            yield Cluster(plan, actors)


def roles_of(config: Config) -> list[Role]:
    """The roles of a run and where they are to be; the reference, if there is one, beside the policy."""
    cluster = config.cluster

    def role(name: str, section: str) -> Role:
        placement = getattr(cluster, section)
        width = config.sampler.vllm.tensor_parallel if section == "sampler" and uses_vllm(config) else 1
        return Role(name, section, placement.ranks, placement.first_gpu, width)

    reference = [role("reference", "policy")] if config.policy_loss.kl_coef else []
    critics = [role(f"critic_{m}", "critics") for m in range(config.critics.count)]
    return [role("policy", "policy"), *reference, *critics, role("sampler", "sampler")]


def build_roles(
    config: Config,
    tokenizer: HuggingFaceTokenizer,
    cluster: Cluster | None,
    note: Callable[[str], None],
    logs: Path | None = None,
) -> Roles:
    """Load every model where it belongs."""
    return local_roles(config, tokenizer, note, logs) if cluster is None else ray_roles(config, cluster)


def local_roles(
    config: Config, tokenizer: HuggingFaceTokenizer, note: Callable[[str], None], logs: Path | None
) -> Roles:
    """Everything in this process, one after another."""
    set_threads(config.learner)
    set_trim_thresholds()
    return Roles(
        sampler=build_sampler(
            config, tokenizer, note, None if logs is None else logs.with_name(f"{logs.name}-vllm-0.log")
        ),
        reference=build_reference(config),
        policy=build_policy_learner(config),
        critics=[build_critic_learner(config) for _ in range(config.critics.count)],
        overlap=Overlap(critics=False, policy=False),
        peak_memory=lambda: {names.PEAK_MEMORY: peak_memory()},
    )


def ray_roles(config: Config, cluster: Cluster) -> Roles:
    """Every role a group of processes, models loaded at the same time."""
    from asyppo_cli.engines.ray.learner import RayLearner
    from asyppo_cli.engines.ray.rank_process import LearnerRank, SamplerRank
    from asyppo_cli.engines.ray.sampler import RaySampler

    plan, actors = cluster.plan, cluster.actors
    groups = {role: actors.create(role, SamplerRank if role == "sampler" else LearnerRank) for role in plan.slots}
    actors.start({role: partial(make_role, of_worker(config, plan, role), role) for role in groups})
    learners: dict[str, RayLearner[Any]] = {role: RayLearner(groups[role]) for role in groups if role != "sampler"}
    critics = [role for role in learners if role.startswith("critic_")]
    return Roles(
        sampler=RaySampler(
            groups["sampler"], partial(share_of_prompts, config), transfers=weight_path(config, plan) != "shared_memory"
        ),
        reference=learners.get("reference"),
        policy=learners["policy"],
        critics=[learners[role] for role in critics],
        overlap=Overlap(
            # On a GPU that critics share, one after another needs the memory of one batch.
            critics=config.cluster.critics.first_gpu is None,
            policy=all(plan.disjoint("policy", role) for role in critics),
        ),
        peak_memory=partial(peak_memory_of, actors),
    )


def uses_vllm(config: Config) -> bool:
    """Whether vLLM samples."""
    return pick_engine(config.sampler.engine, config.policy.model, config.policy.revision) == "vllm"


def weight_path(config: Config, plan: PlacementPlan) -> Literal["shared_memory", "ipc", "nccl", "gloo"]:
    """How the policy's weights get from its ranks to the samplers': as asked for, else the fastest way there is.

    ``shared_memory``: through Ray's object store and, on each machine, what vLLM's processes share.

    Raises:
        ValueError: the roles sit so that weights cannot go as asked for.
    """
    asked, fastest = config.sampler.vllm.sync, plan.fastest_path("policy", "sampler")
    if not uses_vllm(config):
        return "shared_memory"
    if asked in ("ipc", "nccl") and asked != fastest:
        needed = {"ipc": "every GPU of the sampler to be one of the policy's", "nccl": "GPUs of their own for both"}
        raise ValueError(f"sampler.vllm.sync={asked} needs {needed[asked]}: set it to auto, or change first_gpu")
    if asked != "auto":
        return asked
    return fastest if fastest != "host" and config.sampler.vllm.own_process else "shared_memory"


def of_worker(config: Config, plan: PlacementPlan, role: str) -> Config:
    """The configuration as a rank of that role sees it: its device, and the threads of its cores."""
    slot = plan.slots[role][0]
    threads = max(1, int(slot.cpus))
    learner = {"device": "cuda" if slot.gpus else "cpu", "threads": config.learner.threads or threads}
    shared = max(1, threads // config.sampler.vllm.tensor_parallel)
    vllm = {"threads": config.sampler.vllm.threads or shared, "sync": weight_path(config, plan)}
    sampler = {"vllm": config.sampler.vllm.model_copy(update=vllm)}
    return config.model_copy(
        update={
            "learner": config.learner.model_copy(update=learner),
            "sampler": config.sampler.model_copy(update=sampler),
        }
    )


def make_role(config: Config, role: str) -> Any:
    """What a rank holds, made in its own process."""
    set_threads(config.learner)
    set_trim_thresholds()
    if role == "sampler":
        tokenizer = load_tokenizer(config.policy.model, config.policy.revision, "policy.model")
        return build_sampler(config, tokenizer)
    return build_critic_learner(config) if role.startswith("critic_") else build_policy_learner(config)


def share_of_prompts(config: Config, prompts: int, n: int) -> int:
    """Prompts that one sampler is given at a time, each for ``n`` responses.

    transformers: what it generates at once anyway, so that the number of samplers changes no response. vLLM fills its
    own batches, and every request has a seed of its own: an equal share.
    """
    if uses_vllm(config):
        return max(1, -(-prompts // config.cluster.sampler.ranks))
    return max(1, config.sampler.batch_size // n)


def peak_memory_of(actors: ClusterActors) -> dict[str, float]:
    """Peak memory in bytes of all processes, and of those of each role."""
    by_role = actors.measure(peak_memory)
    total = peak_memory() + sum(by_role.values())
    return {names.PEAK_MEMORY: total, **{names.memory(role): size for role, size in by_role.items()}}
