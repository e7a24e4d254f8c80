"""One of several processes that feed the streaming metrics; started by test_streaming.py."""

import warnings

import numpy as np
import torch
import torch.distributed as dist


def work(rank, world_size, folder):
    """Rows of this rank in ragged batches; what it computes goes to a file."""
    from torchmetrics import MetricCollection

    from thermometer.metrics.streaming import ExpectedCalibrationError, SmoothCalibrationError

    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size
    )
    confidence, correct = np.load(f"{folder}/rows.npy")
    collection = MetricCollection(
        {"ece": ExpectedCalibrationError(10), "smooth": SmoothCalibrationError()}
    )
    fifth = np.arange(len(confidence)) % 5
    mine = np.flatnonzero(fifth == 4 if rank else fifth < 4)
    for rows in np.array_split(mine, 3 if rank else 7):
        collection.update(torch.tensor(confidence[rows]), torch.tensor(correct[rows]))
    together = collection.compute()
    own = int(collection["ece"].rows)
    collection.reset()
    collection.update(torch.tensor([0.9], dtype=torch.float64), torch.tensor([rank]))
    after = collection.compute()
    numbers = [own, *(float(x[k]) for x in (together, after) for k in ("ece", "smooth"))]
    np.save(f"{folder}/rank{rank}.npy", np.array(numbers))
    dist.destroy_process_group()
