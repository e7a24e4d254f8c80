"""Learned temperatures that make the confidence of large language models true.

Importing this package loads nothing heavy: public names are resolved when first used (PEP 562).
"""

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

__version__ = _version("thermometer")

_HOME = {
    "Answer": "calibrated_lm",
    "Bands": "routing.router",
    "CalibratedLM": "calibrated_lm",
    "Calibration": "types",
    "CalibrationAlarm": "monitoring.alarm",
    "Calibrator": "calibrator",
    "Confidence": "display",
    "ConfidenceReport": "reports.confidence_report",
    "Costs": "routing.costs",
    "EarlySign": "monitoring.alarm",
    "Experiment": "experiment",
    "FreeFormAnswer": "free_form.answering",
    "FreeFormQuestion": "free_form.questions",
    "FreeFormTask": "free_form.questions",
    "LanguageModel": "language_model",
    "Merged": "adapters.tables",
    "Monitor": "monitoring.monitor",
    "MonitorSettings": "monitoring.history",
    "MonitorState": "monitoring.state",
    "OptionProbabilities": "adapters.api_logprobs",
    "OutputTable": "tables",
    "Protocol": "protocols",
    "Question": "types",
    "Recommendation": "recalibrators.recommend",
    "Report": "reports.report",
    "Router": "routing.router",
    "SegmentReport": "segments.report",
    "SignalEnsemble": "signals.ensemble",
    "Summary": "metrics.summary",
    "Task": "types",
    "TaskSource": "tasks",
    "TemperatureLogitsProcessor": "generation",
    "TemperatureStream": "adaptation",
    "Template": "templates",
    "Thermometer": "network",
    "ThermometerConfig": "network",
    "TrainingConfig": "training",
    "adapt": "adaptation",
    "answers_frame": "free_form.answering",
    "continuation_scores": "adapters.api_logprobs",
    "cross_validate": "evaluation",
    "evaluate": "evaluation",
    "extract": "extraction",
    "extract_both": "extraction",
    "fit_temperature": "scaling",
    "fit_to_reference": "scaling",
    "for_model": "adaptation",
    "guaranteed_threshold": "routing.guarantee",
    "guaranteed_thresholds": "routing.guarantee",
    "held_confidence": "routing.guarantee",
    "import_lm_eval": "adapters.lm_eval",
    "load_free_form": "tasks",
    "load_table": "adapters.files",
    "load_task": "tasks",
    "load_tasks": "tasks",
    "measure": "reports.confidence_report",
    "merge": "adapters.tables",
    "option_probabilities": "adapters.api_logprobs",
    "recommend": "recalibrators.recommend",
    "scale_scores": "scaling",
    "segments": "segments.report",
    "shift_verdicts": "free_form.answering",
    "summarise": "metrics.summary",
    "train": "training",
    "verify_tasks": "free_form.verify_tasks",
    "write_table": "adapters.tables",
}

__all__ = sorted([*_HOME, "__version__"])

if TYPE_CHECKING:
    from thermometer.adaptation import TemperatureStream as TemperatureStream
    from thermometer.adaptation import adapt as adapt
    from thermometer.adaptation import for_model as for_model
    from thermometer.adapters.api_logprobs import OptionProbabilities as OptionProbabilities
    from thermometer.adapters.api_logprobs import continuation_scores as continuation_scores
    from thermometer.adapters.api_logprobs import option_probabilities as option_probabilities
    from thermometer.adapters.files import load_table as load_table
    from thermometer.adapters.lm_eval import import_lm_eval as import_lm_eval
    from thermometer.adapters.tables import Merged as Merged
    from thermometer.adapters.tables import merge as merge
    from thermometer.adapters.tables import write_table as write_table
    from thermometer.calibrated_lm import Answer as Answer
    from thermometer.calibrated_lm import CalibratedLM as CalibratedLM
    from thermometer.calibrator import Calibrator as Calibrator
    from thermometer.display import Confidence as Confidence
    from thermometer.evaluation import cross_validate as cross_validate
    from thermometer.evaluation import evaluate as evaluate
    from thermometer.experiment import Experiment as Experiment
    from thermometer.extraction import extract as extract
    from thermometer.extraction import extract_both as extract_both
    from thermometer.free_form.answering import FreeFormAnswer as FreeFormAnswer
    from thermometer.free_form.answering import answers_frame as answers_frame
    from thermometer.free_form.answering import shift_verdicts as shift_verdicts
    from thermometer.free_form.questions import FreeFormQuestion as FreeFormQuestion
    from thermometer.free_form.questions import FreeFormTask as FreeFormTask
    from thermometer.free_form.verify_tasks import verify_tasks as verify_tasks
    from thermometer.generation import TemperatureLogitsProcessor as TemperatureLogitsProcessor
    from thermometer.language_model import LanguageModel as LanguageModel
    from thermometer.metrics.summary import Summary as Summary
    from thermometer.metrics.summary import summarise as summarise
    from thermometer.monitoring.alarm import CalibrationAlarm as CalibrationAlarm
    from thermometer.monitoring.alarm import EarlySign as EarlySign
    from thermometer.monitoring.history import MonitorSettings as MonitorSettings
    from thermometer.monitoring.monitor import Monitor as Monitor
    from thermometer.monitoring.state import MonitorState as MonitorState
    from thermometer.network import Thermometer as Thermometer
    from thermometer.network import ThermometerConfig as ThermometerConfig
    from thermometer.protocols import Protocol as Protocol
    from thermometer.recalibrators.recommend import Recommendation as Recommendation
    from thermometer.recalibrators.recommend import recommend as recommend
    from thermometer.reports.confidence_report import ConfidenceReport as ConfidenceReport
    from thermometer.reports.confidence_report import measure as measure
    from thermometer.reports.report import Report as Report
    from thermometer.routing.costs import Costs as Costs
    from thermometer.routing.guarantee import guaranteed_threshold as guaranteed_threshold
    from thermometer.routing.guarantee import guaranteed_thresholds as guaranteed_thresholds
    from thermometer.routing.guarantee import held_confidence as held_confidence
    from thermometer.routing.router import Bands as Bands
    from thermometer.routing.router import Router as Router
    from thermometer.scaling import fit_temperature as fit_temperature
    from thermometer.scaling import fit_to_reference as fit_to_reference
    from thermometer.scaling import scale_scores as scale_scores
    from thermometer.segments.report import SegmentReport as SegmentReport
    from thermometer.segments.report import segments as segments
    from thermometer.signals.ensemble import SignalEnsemble as SignalEnsemble
    from thermometer.tables import OutputTable as OutputTable
    from thermometer.tasks import TaskSource as TaskSource
    from thermometer.tasks import load_free_form as load_free_form
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
