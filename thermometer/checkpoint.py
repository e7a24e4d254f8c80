"""The files of a checkpoint: JSON, safetensors and a model card, nothing that could run.

`config.json` says what the network is, whose features it reads and whose scores it was trained for;
`model.safetensors` holds its weights. A folder is written under a temporary name and then renamed.
checkpoints/README.md documents every key.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from thermometer import __version__, _checks, _files
from thermometer.network import Thermometer
from thermometer.posterior import Domain

FORMAT_VERSION = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
METRICS = "metrics.json"
TRAINING = "training.yaml"
CARD = "README.md"
_FILES = (CONFIG, WEIGHTS, METRICS, TRAINING, CARD)

_OF_RECORD = {
    "features": dict,
    "reference": dict,
    "targets": list,
    "train_tasks": list,
    "pooled_temperature": float,
    "spread": float,
}
_KEYS = {"format_version": int, "thermometer_version": str, "network": dict, **_OF_RECORD}
_DAMAGED = "the file is damaged or was cut off: copy or download the checkpoint again"
_WEIGHTS = 1 << 32  # bytes of weights at most
_HEADER = 1 << 21  # bytes that describe them at most: some 20,000 tensors
_TASKS = 5_000  # whose distances from one another take 200 MB
_DOMAIN = "domain."  # before the names of the points of the training tasks


@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """What a network was trained with and for, and how good it was found to be.

    Args:
        train_tasks: Names of the tasks that it was trained on.
        pooled_temperature: That of all training tasks together, of the first answering model.
        features: Provenance of the features that it reads; empty if there are none.
        reference: Provenance of the reference scores that it reads; likewise.
        targets: Provenance of the scores that it was trained for, of each answering model.
        spread: Standard deviation of the log of the factor by which task temperatures missed on
            tasks held out in training; 0 if not measured.
        domain: The training tasks as points, to tell how far a new one is; saved with the weights.
        metrics: Measured quality, any JSON values.
        training: The resolved configuration that made it, as YAML.
        pictures: PNG files by name.

    Raises:
        TypeError: If `train_tasks` is one string.
        ValueError: If `spread` is negative, or there are no `targets`.
    """

    train_tasks: Sequence[str]
    pooled_temperature: float
    features: Mapping[str, Any] = field(default_factory=dict)
    reference: Mapping[str, Any] = field(default_factory=dict)
    targets: Sequence[Mapping[str, Any]] = ({},)
    spread: float = 0.0
    domain: Domain = field(default_factory=Domain)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: str = ""
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _checks.number("spread", self.spread)
        if not self.targets:
            raise _checks.fail("targets", "at least one", "none")
        object.__setattr__(self, "train_tasks", _checks.strings("train_tasks", self.train_tasks))
        object.__setattr__(self, "targets", tuple(map(dict, self.targets)))


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of a checkpoint folder.

    Args:
        network: Fields of `ThermometerConfig`.
        weights: Its state dict, float32.
        record: What the network was trained with and for.
        card: The model card, as Markdown.
    """

    network: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    record: TrainingRecord
    card: str = ""


def write(checkpoint: Checkpoint, folder: str | Path) -> None:
    """Write a checkpoint; one that is there is replaced as a whole, and stays if that fails.

    Files that no checkpoint has are kept.

    Raises:
        FileExistsError: If the folder exists and holds something else.
    """
    path = Path(folder).resolve()  # a link keeps pointing at the checkpoint
    with _files.settled(path):
        is_other = not _files.is_vacant(path) and not _is_checkpoint(path)
    if is_other:
        raise FileExistsError(f"{path} is not empty and holds no checkpoint; choose another folder")
    record = checkpoint.record
    config = {
        "format_version": FORMAT_VERSION,
        "thermometer_version": __version__,
        "network": dict(checkpoint.network),
        **{key: kind(getattr(record, key)) for key, kind in _OF_RECORD.items()},
    }
    with _files.replaced_folder(path, keep=_keep_others) as new:
        _write_json(new / CONFIG, config)
        weights = {k: v.detach().float().cpu().contiguous() for k, v in checkpoint.weights.items()}
        for name, points in record.domain.arrays.items():
            weights[f"{_DOMAIN}{name}"] = torch.tensor(points, dtype=torch.float32)
        (new / WEIGHTS).write_bytes(save(weights))  # `save_file` would make it the owner's alone
        _write_json(new / METRICS, record.metrics)
        (new / TRAINING).write_text(record.training, encoding="utf-8")
        (new / CARD).write_text(checkpoint.card, encoding="utf-8")
        for name, content in record.pictures.items():
            (new / name).write_bytes(content)


def _keep_others(old: Path, new: Path) -> None:
    """Copy what no checkpoint has: it is somebody else's. Links stay links."""
    for file in old.iterdir():
        if file.name in _FILES or file.suffix == ".png":
            continue
        if file.is_dir() and not file.is_symlink():
            shutil.copytree(file, new / file.name, symlinks=True)
        else:
            shutil.copy2(file, new / file.name, follow_symlinks=False)


def read(folder: str | Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed. One that is being replaced is read whole.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: For a missing, unknown or mistyped key, a newer format, or damaged weights. The
            message names the file and the key.
    """
    return _files.read_folder(Path(folder), _read)


def _read(path: Path) -> Checkpoint:
    config = _read_config(path / CONFIG)
    weights_file = path / WEIGHTS
    if not weights_file.is_file():
        raise FileNotFoundError(f"{weights_file} is missing: copy the whole folder {path}")
    with _files.own_file(weights_file, _WEIGHTS).open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > _HEADER:
        raise ValueError(f"{weights_file}: a header of {header:,} bytes; {_DAMAGED}")
    try:
        weights = load_file(weights_file)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{weights_file}: no weights can be read ({error}); {_DAMAGED}") from error
    for name, tensor in weights.items():
        if tensor.dtype != torch.float32:
            raise ValueError(f"{weights_file}: expected {name} to be float32, got {tensor.dtype}")
        if not tensor.isfinite().all():
            raise ValueError(f"{weights_file}: {name} holds NaN or infinity")
    tasks = max((len(t) for k, t in weights.items() if k.startswith(_DOMAIN) and t.ndim), default=0)
    if tasks > _TASKS:
        raise ValueError(
            f"{weights_file}: {tasks:,} training tasks, and at most {_TASKS:,} are read"
        )
    domain = {
        k.removeprefix(_DOMAIN): weights.pop(k) for k in sorted(weights) if k.startswith(_DOMAIN)
    }
    record = TrainingRecord(
        **{key: config[key] for key in _OF_RECORD},
        domain=Domain.from_arrays({k: points.double().numpy() for k, points in domain.items()}),
        metrics=_read_json(path / METRICS) if (path / METRICS).is_file() else {},
        training=_read_text(path / TRAINING),
        pictures={
            file.name: _files.own_file(file).read_bytes() for file in sorted(path.glob("*.png"))
        },
    )
    return Checkpoint(config["network"], weights, record, _read_text(path / CARD))


def rebuild(checkpoint: Checkpoint, path: Path) -> Thermometer:
    """The network of a checkpoint, with its weights.

    If they do not fit each other, the `ValueError` names the file under `path`.
    """
    for name in ("n_members", "n_branches", "views"):  # each of which has weights of its own
        number = checkpoint.network.get(name)
        number = len(number) if isinstance(number, list) else number
        if isinstance(number, int) and number > len(checkpoint.weights):
            raise ValueError(f"{path / CONFIG}: {name}: {number}, but {WEIGHTS} has fewer")
    try:
        with torch.device("meta"):  # sizes alone: whatever the file claims takes no memory
            thermometer = Thermometer.from_architecture(dict(checkpoint.network))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path / CONFIG}: {error}") from error
    try:
        thermometer.load_state_dict(dict(checkpoint.weights), strict=True, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{path / WEIGHTS}: {error}") from error
    n_targets = len(checkpoint.record.targets)
    if n_targets != thermometer.n_models:
        expected = f"{n_targets} answering models, as `targets` says"
        raise ValueError(f"{path / CONFIG}: expected {expected}, got {thermometer.n_models}")
    return thermometer


def locate(folder: str | Path, revision: str | None = None) -> Path:
    """A local checkpoint folder, fetched from a hub if there is none of that name.

    Raises:
        OSError: If it is a file, cannot be the name of a repository, or no hub has it.
    """
    path = Path(folder)
    if path.is_dir():
        return path
    if path.is_file():
        raise NotADirectoryError(f"Expected a checkpoint folder, but {folder} is a file in one")
    if path.is_absolute() or str(folder).startswith(".") or str(folder).count("/") != 1:
        raise FileNotFoundError(f"Expected a checkpoint folder, but there is no {folder}")
    from huggingface_hub import snapshot_download

    try:  # only the files of the format
        files = [*_FILES, "*.png"]
        return Path(snapshot_download(str(folder), revision=revision, allow_patterns=files))
    except (OSError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise OSError(
            f"Expected a checkpoint folder or hub id, but there is no folder {folder} in "
            f"{Path.cwd()}, and nothing could be fetched from a hub ({why})"
        ) from error


def _read_config(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: {file.parent} is no checkpoint folder")
    config = _read_json(file)
    version: Any = config.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ValueError(
            f"{file}: written by thermometer {config.get('thermometer_version')} in format "
            f"{version}; this is {__version__}, which reads up to {FORMAT_VERSION}; upgrade it"
        )
    if missing := sorted(set(_KEYS) - set(config)):
        whose = "" if version else "; is it the checkpoint of a thermometer?"
        raise ValueError(f"{file}: missing {', '.join(missing)}{whose}")
    if unknown := sorted(set(config) - set(_KEYS)):
        raise ValueError(f"{file}: unknown {', '.join(unknown)}")
    for key, kind in _KEYS.items():
        if not isinstance(config[key], kind):
            raise ValueError(f"{file}: expected {key} to be {kind.__name__}, got {config[key]!r}")
    try:
        _checks.integer("format_version", version)
        _checks.number("pooled_temperature", config["pooled_temperature"], strict=True)
        _checks.number("spread", config["spread"], maximum=1e6)
        _checks.strings("train_tasks", config["train_tasks"])
        if not config["targets"] or not all(isinstance(t, dict) for t in config["targets"]):
            raise _checks.fail("targets", "a list of objects", repr(config["targets"]))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    return config


def _is_checkpoint(folder: Path) -> bool:
    """Whether the checkpoint in a folder is ours: language models have a config.json too."""
    try:
        return "thermometer_version" in _files.read_json(folder / CONFIG)
    except (OSError, ValueError):
        return False


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return _files.read_json(_files.own_file(file), constants=file.name == METRICS)
    except ValueError as error:
        raise ValueError(f"{error}; {_DAMAGED}") from error


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _read_text(file: Path) -> str:
    return _files.read_text(_files.own_file(file)) if file.is_file() else ""


def model_card(checkpoint: Checkpoint) -> str:
    """The card as Markdown, with the metadata block that hubs read."""
    record = checkpoint.record
    features, targets = record.features, record.targets
    models = (str(target.get("model", "recorded scores")) for target in targets)
    named = _checks.markdown(", ".join(models))
    small = f"| reads hidden states of | {_model(features)} |\n"
    reference = f"| reads reference scores of | {_model(record.reference)} |\n"
    reads = small if checkpoint.network.get("n_features") else ""
    reads += reference if "reference_temperatures" in checkpoint.weights else ""
    pooled = checkpoint.weights["model_temperatures"].tolist()  # of each answering model
    pictures = "".join(
        f"\n![{_checks.markdown(name)}]({quote(name)})\n" for name in sorted(record.pictures)
    )
    return f"""---
library_name: thermometer
tags: [calibration, temperature-scaling, uncertainty]
---

# Thermometer for {named}

Predicts the temperature by which the option scores of a language model are divided, so that its
confidence is true on tasks without labels. The answer never changes, only the confidence.

```python
import thermometer as th

calibrator = th.Calibrator.from_pretrained("this folder")
result = calibrator.calibrate(task, scores)  # scores: (N, K) of the answering model
result.probs, result.temperature, result.task_temperature
```

| | |
| --- | --- |
{reads}| trained for scores of | {"; ".join(_model(target) for target in targets)} |
| template | {_code(json.dumps(features.get("template")))} |
| network | {_code(json.dumps(dict(checkpoint.network)))} |
| trained on | {len(record.train_tasks)} tasks |
| pooled temperature | {", ".join(f"{temperature:.4g}" for temperature in pooled)} |
| made with | thermometer {__version__} |

## How good it is

{_metrics(record.metrics)}
{pictures}
## Limits

It was trained on the tasks below. On tasks unlike them its temperatures can be wrong: measure on a
few labelled questions of your own before you rely on it. Temperatures change how sure a model is,
never what it answers, and cannot make a model right more often.

## Training tasks

{_checks.markdown(", ".join(record.train_tasks))}
"""


def _code(text: str) -> str:
    """A text as code on one line, which it cannot leave."""
    return f"`{_checks.shown(' '.join(text.split())).replace('`', chr(39)).replace('|', '/')}`"


def _model(provenance: Mapping[str, Any]) -> str:
    if not provenance:
        return "arrays of unknown origin"
    facts = [_code(str(provenance.get("model")))]
    if provenance.get("num_layers"):
        facts.append(f"first {provenance['num_layers']} blocks")
    if provenance.get("layer", -1) != -1:
        facts.append(f"output of block {provenance['layer']}")
    if provenance.get("position") == "mean":
        facts.append("mean over the prompt")
    known = [key for key in ("dtype", "revision") if provenance.get(key)]
    return ", ".join(facts + [_checks.markdown(f"{key} {provenance[key]}") for key in known])


def _metrics(metrics: Mapping[str, Any]) -> str:
    if "verdict" not in metrics:
        return _checks.markdown(str(metrics.get("summary", "Not measured on unseen tasks.")))
    said, protocol = metrics["verdict"], metrics["protocol"]["description"]
    lines = [
        f"{_checks.markdown(said)} Protocol: {_checks.markdown(protocol)}. "
        "Means over tasks, each tested by a network that was not trained on it; the network in "
        "this folder was trained on all of them.",
        "",
        "| method | NLL | ECE (10 bins) | smooth ECE | accuracy |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name, method in metrics["methods"].items():
        values = method["mean_over_tasks"]
        cells = [
            f"{values[key]['estimate']:.4f}" for key in ("nll", "ece_10", "smooth_ece", "accuracy")
        ]
        lines.append(f"| {_checks.markdown(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)
