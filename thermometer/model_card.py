"""The model card of a checkpoint: what it was made from, how it was measured, how to use it."""

import json
from collections.abc import Mapping
from typing import Any

from thermometer import __version__
from thermometer.checkpoint import Checkpoint


def model_card(checkpoint: Checkpoint) -> str:
    """The card as Markdown, with the metadata block that hubs read."""
    record = checkpoint.record
    features, targets = record.features, record.targets
    named = ", ".join(str(target.get("model", "recorded scores")) for target in targets)
    small = f"| reads hidden states of | {_model(features)} |\n"
    reference = f"| reads reference scores of | {_model(record.reference)} |\n"
    reads = small if checkpoint.network.get("n_features") else ""
    reads += reference if "reference_temperatures" in checkpoint.weights else ""
    pictures = "".join(f"\n![{name}]({name})\n" for name in sorted(record.pictures))
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
| template | `{json.dumps(features.get("template"))}` |
| network | `{json.dumps(dict(checkpoint.network))}` |
| trained on | {len(record.train_tasks)} tasks |
| one temperature for all of them | {_temperatures(checkpoint)} |
| made with | thermometer {__version__} |

## How good it is

{_metrics(record.metrics)}
{pictures}
## Limits

It was trained on the tasks below. On tasks unlike them its temperatures can be wrong: measure on a
few labelled questions of your own before you rely on it. Temperatures change how sure a model is,
never what it answers, and cannot make a model right more often.

## Training tasks

{", ".join(record.train_tasks)}
"""


def _temperatures(checkpoint: Checkpoint) -> str:
    """The one temperature, of each answering model if there are several."""
    of_models = checkpoint.weights["references"].tolist()
    if len(of_models) == 1:
        return f"{checkpoint.record.pooled_temperature:.4g}"
    return ", ".join(f"{temperature:.4g}" for temperature in of_models)


def _model(provenance: Mapping[str, Any]) -> str:
    if not provenance:
        return "arrays of unknown origin"
    facts = [f"`{provenance.get('model')}`"]
    if provenance.get("num_layers"):
        facts.append(f"first {provenance['num_layers']} blocks")
    if provenance.get("layer", -1) != -1:
        facts.append(f"output of block {provenance['layer']}")
    if provenance.get("position") == "mean":
        facts.append("mean over the prompt")
    facts += [f"{key} {provenance[key]}" for key in ("dtype", "revision") if provenance.get(key)]
    return ", ".join(facts)


def _metrics(metrics: Mapping[str, Any]) -> str:
    if "verdict" not in metrics:
        return str(metrics.get("summary", "Not measured on unseen tasks."))
    lines = [
        f"{metrics['verdict']} Protocol: {metrics['protocol']['description']}. "
        "Means over tasks, each tested by a network that had not seen it; the network in this "
        "folder was trained on all of them.",
        "",
        "| method | NLL | ECE (10 bins) | smooth ECE | accuracy |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name, method in metrics["methods"].items():
        values = method["mean_over_tasks"]
        cells = [
            f"{values[key]['estimate']:.4f}" for key in ("nll", "ece_10", "smooth_ece", "accuracy")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
