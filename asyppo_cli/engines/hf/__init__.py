"""Hugging Face models and tokenizers, shared by every engine."""
