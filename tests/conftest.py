"""Tiny random but real models and a real tokenizer, built offline in a fraction of a second each.

Weights are drawn wider than usual, so that scores differ between options and a wrong mask, position
or layer shows.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import tiny

from thermometer.language_model import LanguageModel


@pytest.fixture(scope="session")
def tokenizer():
    return tiny.tokenizer()


@pytest.fixture(scope="session")
def lm():
    """A Llama that shares rows and has a plain output head."""
    return LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="tiny-llama")


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory):
    """The same Llama, saved."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    tiny.save("llama", folder)
    return folder
