"""Policies and critics as torch modules around any Hugging Face causal language model.

Both map :class:`Sequences` to one row of numbers per response, computed at response positions only: the hidden state
in front of response token ``t`` gives the distribution of that token, and the value of the prefix before it.
Shapes: ``B`` responses, ``S`` tokens of a sequence, ``T`` tokens of a response, ``N`` response tokens in all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from asyppo_cli.engines.hf.logprobs import statistics_of_logits, token_statistics
from asyppo_cli.engines.hf.prompt_packing import find_attention_crossover, predicting_outputs, predicting_positions
from asyppo_cli.engines.hf.quiet import deepspeed_accelerator, silence_transformers
from asyppo_cli.engines.hf.resolve import load_pretrained, resolve_model
from asyppo_cli.engines.hf.tokenizer import HuggingFaceTokenizer
from asyppo_cli.types import PolicyOutputs, Sequences, ValueOutputs

# What the families of transformers call a factor or a cap on logits.
LOGIT_SETTINGS = (
    *("final_logit_softcapping", "logits_soft_cap", "logit_scale", "logits_scaling", "lm_head_multiplier"),
    *("output_multiplier_scale", "logit_softcapping", "final_logit_soft_cap"),
)
# Beyond the caps that are in use, which are 30 to 50.
LARGE_LOGIT = 1000.0
VALUE_HEAD_FILE = "value_head.safetensors"


class ModelCapabilities(NamedTuple):
    """What was measured on a loaded model: see :func:`has_plain_head` and :func:`find_attention_crossover`."""

    plain_head: bool
    attention_crossover: float | None


class PolicyModel(nn.Module):
    """A causal language model that reports on response tokens; logits are divided by ``temperature``.

    ``capabilities`` need only be given for a model without weights, which cannot be asked.
    """

    def __init__(self, model: Any, temperature: float, capabilities: ModelCapabilities | None = None) -> None:
        super().__init__()
        disable_dropout(model)
        self.model = model
        self.temperature = temperature
        if capabilities is None:
            check_training_mode(model)
        self.capabilities = capabilities or ModelCapabilities(
            has_plain_head(model), find_attention_crossover(model.base_model)
        )

    def forward(self, batch: Sequences, sizes: Tensor | None = None) -> PolicyOutputs:
        """Log-probability, entropy and squared mass elsewhere of each response token, ``[B, T]``.

        ``sizes``: how many responses after one another share their prompt, as in :class:`~.sharing.Part`.
        """
        chosen = batch.tokens[:, 1:][predicting_positions(batch)[:, :-1]]
        if self.capabilities.plain_head:
            # Only these positions meet the vocabulary.
            hidden = predicting_outputs(self.model.base_model, "last_hidden_state", batch, sizes)
            packed = token_statistics(self.model.get_output_embeddings(), hidden, chosen, self.temperature)
        else:
            logits = predicting_outputs(self.model, "logits", batch, sizes)
            packed = statistics_of_logits(logits, chosen, self.temperature)
        return PolicyOutputs(*(unpack(numbers, batch.response_mask) for numbers in packed))

    def save(self, directory: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write the model in Hugging Face form; ``weights`` by the module's names where it does not hold them whole."""
        save_model(self.model, "model", directory, weights)


class ValueHead(nn.Linear):
    """A linear layer in float32, whatever the backbone computes in and under autocast too.

    Critics' disagreement is a difference of nearly equal values: in bfloat16 most of it is lost. ``masters``: float32
    weight and bias, where an engine keeps them beside ones of lower precision; gradients go to the latter.
    """

    masters: tuple[Tensor, Tensor] | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """``[N, D]`` to float32 ``[N, 1]``."""
        with torch.autocast(hidden.device.type, enabled=False):
            weight, bias = self.weight.float(), self.bias.float()
            if self.masters is not None:
                # Nothing in value, the whole gradient.
                weight = self.masters[0] + (weight - weight.detach())
                bias = self.masters[1] + (bias - bias.detach())
            return nn.functional.linear(hidden.float(), weight, bias)


class ValueModel(nn.Module):
    """A language model's backbone with a scalar head: the value of every prefix of the response.

    ``capabilities`` as in :class:`PolicyModel`.
    """

    def __init__(self, backbone: Any, capabilities: ModelCapabilities | None = None) -> None:
        super().__init__()
        disable_dropout(backbone)
        self.backbone = backbone
        if capabilities is None:
            check_training_mode(backbone)
        self.capabilities = capabilities or ModelCapabilities(False, find_attention_crossover(backbone))
        # Zero weights: every critic starts at value 0, so no random head can throw the first advantages off.
        self.head = ValueHead(backbone.config.hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: Sequences, sizes: Tensor | None = None) -> ValueOutputs:
        """Value of the prefix before each response token, ``[B, T]``; ``sizes`` as in :meth:`PolicyModel.forward`."""
        hidden = predicting_outputs(self.backbone, "last_hidden_state", batch, sizes)
        values = self.head(hidden)[:, 0]
        return ValueOutputs(unpack(values, batch.response_mask))

    def save(self, directory: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write the backbone in Hugging Face form, the head beside it; ``weights`` as in :meth:`PolicyModel.save`."""
        from safetensors.torch import save_file

        save_model(self.backbone, "backbone", directory, weights)
        given = self.state_dict() if weights is None else weights
        head = {key: given[f"head.{key}"].detach().contiguous() for key in self.head.state_dict()}
        save_file(head, directory / VALUE_HEAD_FILE)


def save_model(model: Any, name: str, directory: Path, weights: Mapping[str, Tensor] | None) -> None:
    """Write a model in Hugging Face form; given ``weights`` under ``name.`` are float32, and its config says so."""
    # Where both are installed, accelerate imports DeepSpeed here, to ask whether the model is one of its engines.
    with deepspeed_accelerator(model.device):
        own: Mapping[str, Tensor] = model.state_dict()
        if weights is not None:
            own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        try:
            model.save_pretrained(directory, state_dict=None if weights is None else own)
        except Exception:
            # Broad on purpose, and raised again: a configuration that cannot be written must not cost the weights.
            save_weights(model, own, directory)
            raise
    if weights is None:
        return
    model.config.dtype = "float32"
    model.config.save_pretrained(directory)


def save_weights(model: Any, weights: Mapping[str, Tensor], directory: Path) -> None:
    """Write the weights alone, in the file and under the names that a checkpoint is loaded from; tied ones once."""
    from safetensors.torch import save_file

    tied = getattr(model, "all_tied_weights_keys", None) or {}
    directory.mkdir(parents=True, exist_ok=True)
    whole = {key: value.detach().contiguous() for key, value in weights.items() if key not in tied}
    save_file(whole, directory / "model.safetensors")


def unpack(packed: Tensor, mask: Tensor) -> Tensor:
    """Numbers of response tokens in row order, ``[N]``, back to ``[B, T]`` with zeros as padding."""
    return packed.new_zeros(mask.shape).masked_scatter(mask, packed)


@torch.no_grad()
def has_plain_head(model: Any) -> bool:
    """Whether logits are just the output matrix times the last hidden state.

    Some families scale or cap their logits; for them the whole forward pass is taken. The configuration is asked first,
    then the model is tried, also with hidden states so large that a cap would show.
    """
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    if type(head) is not nn.Linear or any(getattr(config, name, None) not in (None, 1.0) for name in LOGIT_SETTINGS):
        return False
    tokens = torch.arange(min(4, config.vocab_size), device=model.device)[None]
    hidden = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
    factor = LARGE_LOGIT / max(float(head(hidden).abs().max()), 1e-6)
    return all(_is_product(model, head, tokens, hidden, scale) for scale in (1.0, factor))


def _is_product(model: Any, head: nn.Linear, tokens: Tensor, hidden: Tensor, scale: float) -> bool:
    """Whether logits are those of the head alone where the last hidden state is ``scale`` times as large."""

    def enlarge(_module: nn.Module, _given: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state * scale
        return output

    with model.base_model.register_forward_hook(enlarge):
        logits = model(input_ids=tokens, use_cache=False).logits.float()
    expected = head(hidden * scale).float()
    return bool(torch.allclose(expected, logits, rtol=1e-3, atol=1e-4 * max(1.0, float(expected.abs().max()))))


def disable_dropout(model: Any) -> None:
    """Set every dropout of a model to 0: of its modules, of numbers that its layers copied when they were built, and of
    its configuration, which some layers read in every pass. Log-probabilities with dropout are those of another policy.
    """
    for part in model.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):  # noqa: SLF001 - the base class of all of them
            part.p = 0.0
        _zero_dropout(part)
    for config in {id(each): each for each in (model.config, model.config.get_text_config())}.values():
        _zero_dropout(config)


def _zero_dropout(owner: Any) -> None:
    for name, value in list(vars(owner).items()):
        if "drop" in name and isinstance(value, float):
            setattr(owner, name, 0.0)


@torch.no_grad()
def check_training_mode(model: Any) -> None:
    """ValueError unless passes in training mode, which gradient checkpointing needs, equal those in evaluation mode."""
    tokens = torch.arange(8, device=model.device)[None] % model.config.get_text_config().vocab_size
    training = model.training
    passes = []
    for mode in (False, True, True):
        model.train(mode)
        passes.append(model.base_model(input_ids=tokens, use_cache=False).last_hidden_state.float())
    model.train(training)
    allowed = 1e-3 * float(passes[0].norm())
    if not all(float((each - passes[0]).norm()) <= allowed for each in passes[1:]):
        raise ValueError(
            f"{model.config.name_or_path or model.config.model_type}: its passes in training mode differ from those in "
            "evaluation mode (dropout or noise that cannot be switched off): set it to 0 in the model's config.json"
        )


def load_policy(model: str, revision: str | None, key: str = "policy.model") -> Any:
    """A causal language model with float32 weights."""
    from transformers import AutoModelForCausalLM

    loaded = load_weights(AutoModelForCausalLM, model, revision, key)
    make_generation_config_valid(loaded.generation_config)
    return loaded


def make_generation_config_valid(settings: Any) -> None:
    """Turn sampling on where a model's generation settings give numbers for it (``temperature`` with ``do_sample``
    false, as published models do): transformers loads such settings, but refuses to save them. Nothing here samples by
    them; only their end tokens are used.
    """
    try:
        settings.validate(strict=True)
    except ValueError:
        settings.do_sample = True


def load_weights(auto: Any, model: str, revision: str | None, key: str, **options: Any) -> Any:
    """Load a model in float32, every one of its weights: a missing one would be left random without a word.

    From safetensors alone: the older form is a pickle.
    """
    folder = Path(resolve_model(model, key))
    if any(folder.glob("pytorch_model*.bin")) and not any(folder.glob("*.safetensors")):
        raise ValueError(f"{key}={model}: its weights are pickled (pytorch_model.bin): convert them to safetensors")
    loaded, report = load_pretrained(
        auto.from_pretrained,
        model,
        revision,
        key,
        "weights",
        dtype=torch.float32,
        attn_implementation="sdpa",
        output_loading_info=True,
        use_safetensors=True,
        # Reported below, in words.
        ignore_mismatched_sizes=True,
        **options,
    )
    if report["missing_keys"]:
        raise ValueError(f"{key}={model}: its files lack the weights {sorted(report['missing_keys'])[:3]}")
    if report["mismatched_keys"]:
        name, stored, wanted = sorted(report["mismatched_keys"])[0]
        raise ValueError(
            f"{key}={model}: its weights do not fit its config.json: {name} is {list(stored)} instead of {list(wanted)}"
        )
    return loaded.eval()


def new_policy(architecture: Mapping[str, Any], tokenizer: HuggingFaceTokenizer) -> Any:
    """A Qwen3 model with fresh weights; ``architecture`` holds arguments of its configuration.

    Weights are drawn with standard deviation hidden_size^-0.5 unless given: the stock 0.02 starves so small a model.
    """
    from transformers import AutoModelForCausalLM, Qwen3Config

    silence_transformers()
    settings = {"initializer_range": architecture["hidden_size"] ** -0.5, "tie_word_embeddings": True} | dict(
        architecture
    )
    config = Qwen3Config(
        vocab_size=len(tokenizer.inner),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **settings,
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


def read_model_config(model: str, revision: str | None, key: str) -> Any:
    """A model's configuration alone: its size and context, before any weight is loaded."""
    from transformers import AutoConfig

    return load_pretrained(AutoConfig.from_pretrained, model, revision, key, "configuration")


def load_backbone(model: str, revision: str | None, depth: float, key: str = "critics.model") -> Any:
    """The backbone of a language model, of which the first ``depth`` share of layers is kept (at least one)."""
    from transformers import AutoModel

    config = read_model_config(model, revision, key)
    keep_first_layers(config, depth)
    return load_weights(AutoModel, model, revision, key, config=config)


def keep_first_layers(config: Any, depth: float) -> None:
    """Shorten a model's configuration to its first layers, lists with one entry a layer included."""
    layers = config.num_hidden_layers
    kept = max(1, math.floor(depth * layers + 0.5))
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == layers:
            setattr(config, name, value[:kept])
    config.num_hidden_layers = kept


def parameter_count(model: nn.Module) -> int:
    """Number of weights, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())
