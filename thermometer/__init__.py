"""Learned temperatures that make the confidence of large language models true.

Importing this package loads nothing heavy: public names are resolved when first used (PEP 562).
"""

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

__version__ = _version("thermometer")

_HOME = {
    "CalibratedLM": "calibrated_lm",
    "Calibration": "types",
    "Calibrator": "calibrator",
    "Experiment": "experiment",
    "LanguageModel": "language_model",
    "OutputTable": "tables",
    "Protocol": "protocols",
    "Question": "types",
    "Task": "types",
    "TemperatureLogitsProcessor": "generation",
    "Template": "templates",
    "Thermometer": "network",
    "ThermometerConfig": "network",
    "TrainingConfig": "training",
    "adapt": "adaptation",
    "cross_validate": "evaluation",
    "evaluate": "evaluation",
    "extract": "extraction",
    "fit_temperature": "scaling",
    "load_task": "tasks",
    "load_tasks": "tasks",
    "measure": "reports.confidence_report",
    "scale_scores": "scaling",
    "train": "training",
}

__all__ = sorted([*_HOME, "__version__"])

if TYPE_CHECKING:
    from thermometer.adaptation import adapt as adapt
    from thermometer.calibrated_lm import CalibratedLM as CalibratedLM
    from thermometer.calibrator import Calibrator as Calibrator
    from thermometer.evaluation import cross_validate as cross_validate
    from thermometer.evaluation import evaluate as evaluate
    from thermometer.experiment import Experiment as Experiment
    from thermometer.extraction import extract as extract
    from thermometer.generation import TemperatureLogitsProcessor as TemperatureLogitsProcessor
    from thermometer.language_model import LanguageModel as LanguageModel
    from thermometer.network import Thermometer as Thermometer
    from thermometer.network import ThermometerConfig as ThermometerConfig
    from thermometer.protocols import Protocol as Protocol
    from thermometer.reports.confidence_report import measure as measure
    from thermometer.scaling import fit_temperature as fit_temperature
    from thermometer.scaling import scale_scores as scale_scores
    from thermometer.tables import OutputTable as OutputTable
    from thermometer.tasks import load_task as load_task
    from thermometer.tasks import load_tasks as load_tasks
    from thermometer.templates import Template as Template
    from thermometer.training import TrainingConfig as TrainingConfig
    from thermometer.training import train as train
    from thermometer.types import Calibration as Calibration
    from thermometer.types import Question as Question
    from thermometer.types import Task as Task


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'thermometer' has no attribute {name!r}")
    return getattr(import_module(f"thermometer.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
