"""Network and training by name: a preset with the fields that differ."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar, get_args

from thermometer import _checks
from thermometer.networks.thermometer import ThermometerConfig
from thermometer.training import TrainingConfig

Preset = Literal["default", "features", "scores", "reference", "family", "paper"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
Config = TypeVar("Config", ThermometerConfig, TrainingConfig)


def resolve(
    preset: str, network: Mapping[str, Any], training: Mapping[str, Any]
) -> tuple[ThermometerConfig, TrainingConfig]:
    """The network and training of a preset, with some fields changed.

    Args:
        preset: `default` reads hidden states and scores; `features` hidden states only, `scores`
            scores only; `reference` hidden states, scores and those of a reference model; `family`
            is the default for several answering models at once; `paper` is the network and training
            of Shen et al. (ICML 2024).
        network: Fields of `ThermometerConfig` that differ from the preset.
        training: Fields of `TrainingConfig` that differ from the preset.

    Raises:
        ValueError: For an unknown preset or field, or a value out of range.

    Example:
        >>> network, training = resolve("paper", {"hidden_size": 128}, {})
        >>> network.hidden_size, training.max_steps
        (128, 5000)
    """
    presets = {
        "default": (ThermometerConfig(), TrainingConfig()),
        "features": (ThermometerConfig.features_only(), TrainingConfig.features_only()),
        "scores": (ThermometerConfig.scores_only(), TrainingConfig()),
        "reference": (ThermometerConfig.with_reference(), TrainingConfig()),
        "family": (ThermometerConfig.for_family(), TrainingConfig()),
        "paper": (ThermometerConfig.paper(), TrainingConfig.paper()),
    }
    shape, schedule = presets[_checks.one_of("preset", preset, PRESETS)]
    return _override(shape, "network", network), _override(schedule, "training", training)


def _override(config: Config, name: str, fields: Mapping[str, Any]) -> Config:
    if unknown := sorted(set(fields) - set(config.__dataclass_fields__)):
        known = ", ".join(config.__dataclass_fields__)
        raise _checks.fail(name, f"fields among {known}", repr(unknown))
    return replace(config, **fields)
