"""Offline and with caches of its own: no test needs a network or leaves a file behind."""

import atexit
import copy
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))  # simulation, selection
_cache = tempfile.mkdtemp(prefix="thermometer-tests-")
atexit.register(shutil.rmtree, _cache, ignore_errors=True)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_CACHE"] = _cache
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest  # noqa: E402
import tiny  # noqa: E402
import torch  # noqa: E402

from thermometer import loading  # noqa: E402
from thermometer.language_model import LanguageModel  # noqa: E402

torch.set_num_threads(1)  # threads that wait for one another cost a tiny model more than they save


@pytest.fixture(scope="session", autouse=True)
def bundled_model_is_parsed_once():
    """transformers takes twenty seconds to parse its GGUF file: each process of tests does it once.

    Every test gets a copy of its own.
    """
    load, found = loading.load, {}

    def load_once(name, *options):
        if not name.startswith("bundled:"):
            return load(name, *options)
        if (name, *options) not in found:
            found[name, *options] = load(name, *options)
        return copy.deepcopy(found[name, *options])

    loading.load = load_once
    yield
    loading.load = load


@pytest.fixture(scope="session")
def tokenizer():
    return tiny.tokenizer()


@pytest.fixture(scope="session")
def lm():
    """A Llama that shares rows and has a plain output head; not to be changed."""
    return LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="tiny-llama")


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory):
    """The same Llama, saved as a user's folder would be."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    tiny.save("llama", folder)
    return str(folder)
