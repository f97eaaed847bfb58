"""Hugging Face tokenizers behind the :class:`~asyppo_cli.ports.Tokenizer` protocol, and the training of a small one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyppo_cli.engines.hf.resolve import load_pretrained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# ChatML, the form Qwen models are trained on: each turn between a start and an end mark.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Templates that write today's date would make every day another run; Llama's own fallback.
DATE = "26 Jul 2024"
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


class HuggingFaceTokenizer:
    """Adapter around a Hugging Face tokenizer; ``inner`` is saved beside every model."""

    def __init__(self, inner: PreTrainedTokenizerBase) -> None:
        if inner.eos_token_id is None:
            raise ValueError("the tokenizer has no end-of-text token: set eos_token in its tokenizer_config.json")
        self.inner = inner
        self.eos_token_id: int = inner.eos_token_id
        self.pad_token_id: int = inner.eos_token_id if inner.pad_token_id is None else inner.pad_token_id

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        ids: list[int] = self.inner.encode(text, add_special_tokens=False)
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        text: str = self.inner.decode(list(tokens), skip_special_tokens=True)
        return text

    def token_text(self, token: int) -> str:
        """One token as people read it, special tokens included."""
        text: str = self.inner.decode([token])
        return text

    def chat(self, system: str, user: str) -> list[int]:
        """Token ids of a conversation up to where the assistant begins.

        A tokenizer without a chat template (a base model) gets the plain texts, after the beginning-of-text token if
        it adds one; a template that refuses a system's turn (Gemma 2) gets both texts as the user's. Without a
        system's text there is no such turn, and templates may put in their own; those that write the date get a fixed
        one. Control tokens in the texts are read as text. Raises ValueError for a template that cannot be used.
        """
        from jinja2 import TemplateError

        both = f"{system}\n\n{user}" if system else user
        if self.inner.chat_template is None:
            return [*self._beginning(), *self._encode_around(f"{both}\n\n", [both])]
        question = {"role": "user", "content": user}
        try:
            return self._apply([{"role": "system", "content": system}, question] if system else [question])
        except TemplateError:
            merged = [{"role": "user", "content": both}]
        try:
            return self._apply(merged)
        except TemplateError as error:
            raise ValueError(f"the chat template of {self.inner.name_or_path} cannot be used: {error}") from error

    def largest_id(self) -> int:
        """The largest id that a prompt can hold: of ordinary tokens, the template's, and the end of a text."""
        added = self.inner.added_tokens_decoder
        controls = {token for token, text in added.items() if text.special}
        ordinary = set(self.inner.get_vocab().values()) - controls
        largest: int = max({*ordinary, *self.chat("a", "b"), self.eos_token_id})
        return largest

    def _apply(self, messages: list[dict[str, str]]) -> list[int]:
        text = self.inner.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, date_string=DATE, strftime_now=lambda _: DATE
        )
        return self._encode_around(str(text), [message["content"] for message in messages])

    def _encode_around(self, text: str, contents: Sequence[str]) -> list[int]:
        """Token ids of ``text``, in which control tokens inside ``contents`` (in this order) are ordinary text."""
        if not any(control in content for content in contents for control in self._controls()):
            return self.encode(text)
        ids: list[int] = []
        for content in contents:
            # Templates may strip a text.
            inside = content if content in text else content.strip()
            before, _, text = text.partition(inside)
            ids += self.encode(before) + self.inner.encode(inside, add_special_tokens=False, split_special_tokens=True)
        return ids + self.encode(text)

    def _controls(self) -> list[str]:
        """Texts of the control tokens."""
        added = self.inner.added_tokens_decoder.values()
        return [str(token) for token in added if token.special]

    def _beginning(self) -> list[int]:
        """The beginning-of-text token, if the tokenizer adds one."""
        bos = self.inner.bos_token_id
        return [bos] if bos is not None and self.inner.encode("x")[:1] == [bos] else []

    def save(self, directory: Path) -> None:
        """Write the tokenizer in Hugging Face form."""
        self.inner.save_pretrained(directory)


def load_tokenizer(model: str, revision: str | None, key: str) -> HuggingFaceTokenizer:
    """The tokenizer of a folder or hub id; ``key`` is the setting to name when there is none."""
    from transformers import AutoTokenizer

    inner = load_pretrained(AutoTokenizer.from_pretrained, model, revision, key, "tokenizer")
    return HuggingFaceTokenizer(inner)


def check_same_tokenizer(policy: HuggingFaceTokenizer, critic: HuggingFaceTokenizer, critic_model: str) -> None:
    """A critic reads the policy's token ids: with another vocabulary every id would mean another text."""
    if policy.inner.get_vocab() != critic.inner.get_vocab():
        raise ValueError(
            f"critics.model={critic_model} has another tokenizer than the policy ({len(critic.inner)} and "
            f"{len(policy.inner)} tokens): choose a critic of the same family, or critic_size=0.33 to make it of the "
            "policy's first layers"
        )


def train_tokenizer(texts: Iterable[str], vocab_size: int, phrases: Sequence[str]) -> HuggingFaceTokenizer:
    """A byte-level BPE tokenizer that reads any text.

    Digits stay single, so that arithmetic has one token a digit; everything else may merge across spaces. Each of
    ``phrases`` becomes a token of its own: what stands in every prompt then costs one position.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    byte_level: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(phrases),
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator((without(text, [*SPECIAL_TOKENS, *phrases]) for text in texts), trainer)
    inner.add_tokens([AddedToken(phrase, normalized=False) for phrase in phrases])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", clean_up_tokenization_spaces=False
    )
    fast.chat_template = CHAT_TEMPLATE
    return HuggingFaceTokenizer(fast)


def without(text: str, parts: Iterable[str]) -> str:
    """A text with each of ``parts`` cut out and a line break in its place."""
    for part in parts:
        text = text.replace(part, "\n")
    return text
