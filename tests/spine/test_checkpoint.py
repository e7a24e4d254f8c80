"""Checkpoints: the same numbers after a round trip, and plain errors for whatever is amiss."""

import json
import os
import random
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from huggingface_hub.errors import OfflineModeIsEnabled
from safetensors.torch import load_file, save_file

from thermometer import _files, checkpoint
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import TrainingRecord
from thermometer.network import Thermometer, ThermometerConfig
from thermometer.tables import OutputTable

CONFIGS = {
    "features": ThermometerConfig(("features",), n_components=4, n_members=2, hidden_size=8),
    "paper": ThermometerConfig.paper(8),
}
TABLE = OutputTable.from_arrays(
    [f"q{i}" for i in range(20)],
    ["task"] * 20,
    features=np.random.default_rng(0).normal(size=(20, 6)),
)


def make(config=CONFIGS["features"], seed=0):
    torch.manual_seed(seed)
    thermometer = Thermometer(config, 6)
    thermometer.fit_inputs(torch.randn(30, 6), None, None, 1.0)
    record = TrainingRecord(
        ["one", "zwei ü"],
        1.25,
        features={"model": "small", "layer": -1},
        targets=[{"model": "large"}],
        metrics={"nll": 0.5},
        training="seed: 0\n",
        pictures={"plot.png": b"\x89PNG"},
    )
    return Calibrator(thermometer, record)


@pytest.fixture
def folder(tmp_path):
    make().save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def edit(folder, **changes):
    """Change keys of the configuration; `None` drops one."""
    file = folder / checkpoint.CONFIG
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("name", CONFIGS)
def test_temperatures_are_byte_exact_after_a_round_trip(name, tmp_path):
    made = make(CONFIGS[name])
    made.save_pretrained(tmp_path / "a")
    loaded = Calibrator.from_pretrained(tmp_path / "a")
    assert loaded.temperature(TABLE).tobytes() == made.temperature(TABLE).tobytes()
    assert loaded.thermometer.config == CONFIGS[name]
    for field in (
        "features",
        "targets",
        "train_tasks",
        "pooled_temperature",
        "metrics",
        "training",
        "pictures",
    ):
        assert getattr(loaded.record, field) == getattr(made.record, field), field
    loaded.save_pretrained(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_the_folder_holds_the_documented_files_and_nothing_else(folder):
    names = {"config.json", "model.safetensors", "metrics.json", "training.yaml", "README.md"}
    assert set(contents(folder)) == names | {"plot.png"}
    assert [file.name for file in folder.parent.iterdir()] == ["checkpoint"]


def test_the_optional_files_may_be_missing(folder):
    for name in ("metrics.json", "training.yaml", "README.md", "plot.png"):
        (folder / name).unlink()
    loaded = Calibrator.from_pretrained(folder)
    assert (loaded.record.metrics, loaded.record.training, loaded.record.pictures) == ({}, "", {})


def test_an_unknown_key_is_refused(folder):
    edit(folder, colour="red")
    with pytest.raises(ValueError, match=r"config\.json: unknown colour"):
        Calibrator.from_pretrained(folder)


@pytest.mark.parametrize(
    "key", ["format_version", "network", "features", "targets", "train_tasks", "pooled_temperature"]
)
def test_a_missing_key_is_refused(folder, key):
    edit(folder, **{key: None})
    with pytest.raises(ValueError, match=rf"config\.json: missing {key}"):
        Calibrator.from_pretrained(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format_version", "1"),
        ("network", []),
        ("targets", {}),
        ("targets", []),
        ("targets", ["large"]),
        ("train_tasks", "one"),
        ("train_tasks", [1]),
        ("pooled_temperature", "hot"),
        ("pooled_temperature", -1.0),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(folder, key, value):
    edit(folder, **{key: value})
    with pytest.raises(ValueError, match=rf"config\.json.*{key}"):
        Calibrator.from_pretrained(folder)


def test_a_newer_format_asks_for_an_upgrade(folder):
    edit(folder, format_version=2, thermometer_version="9.0", something="new")
    with pytest.raises(ValueError, match=r"written by thermometer 9\.0 in format 2.*upgrade"):
        Calibrator.from_pretrained(folder)


def test_whoever_may_read_the_folder_may_read_its_weights(folder):
    """`safetensors.save_file` makes files that only their owner can read."""
    modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]


def test_the_number_of_answering_models_must_be_that_of_the_network(folder):
    edit(folder, targets=[{"model": "a"}, {"model": "b"}])
    with pytest.raises(ValueError, match="expected 2 answering models, as `targets` says, got 1"):
        Calibrator.from_pretrained(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 3},
        {"hidden_size": -1},
        {"hidden_size": "8"},
        {"output": "exp"},
        {"n_members": 2**31},
        {"n_branches": 2**31},
    ],
)
def test_a_network_that_cannot_be_is_refused_with_the_file(folder, change):
    network = json.loads((folder / "config.json").read_text())["network"]
    edit(folder, network={**network, **change})
    with pytest.raises(ValueError, match=rf"config\.json.*{next(iter(change))}"):
        Calibrator.from_pretrained(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, -5])
def test_damaged_weights_are_refused(folder, keep):
    file = folder / checkpoint.WEIGHTS
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors: no weights .* was cut off: copy"):
        Calibrator.from_pretrained(folder)


@pytest.mark.parametrize("text", ["{", "[1]", "\udcff"])
def test_a_configuration_that_is_no_json_object_is_refused(folder, text):
    (folder / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"config\.json: .* was cut off: copy"):
        Calibrator.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_a_file_that_was_cut_off_is_named_with_what_to_do(folder, name):
    file = folder / name
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ValueError, match=rf"{name}: not JSON .*cut off: copy or download"):
        Calibrator.from_pretrained(folder)


def test_the_folder_of_a_language_model_is_no_checkpoint(llama_folder):
    with pytest.raises(ValueError, match=r"config\.json: missing .* checkpoint of a thermometer\?"):
        Calibrator.from_pretrained(llama_folder)


def rewrite(folder, change):
    file = folder / checkpoint.WEIGHTS
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


def test_weights_of_another_shape_are_refused(folder):
    rewrite(folder, lambda w: w.update({"members.0.combine.weight": torch.zeros(1, 3)}))
    with pytest.raises(ValueError, match=r"(?s)model\.safetensors.*members\.0\.combine\.weight"):
        Calibrator.from_pretrained(folder)


def test_missing_and_surplus_weights_are_refused(folder):
    rewrite(folder, lambda w: w.update({"extra": w.pop("shift")}))
    with pytest.raises(ValueError, match=r"(?s)model\.safetensors.*shift.*extra"):
        Calibrator.from_pretrained(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(folder, value):
    rewrite(folder, lambda w: w["projection"][1].fill_(value))
    with pytest.raises(ValueError, match=r"model\.safetensors: projection holds NaN or infinity"):
        Calibrator.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing: .*{folder}"):
        Calibrator.from_pretrained(folder)


def test_a_file_of_a_checkpoint_is_no_folder(folder):
    with pytest.raises(NotADirectoryError, match=r"config\.json is a file in one"):
        Calibrator.from_pretrained(folder / "config.json")


def test_a_folder_that_is_missing_is_named_where_no_hub_has_it_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match=f"no folder outputs/mine in {tmp_path}, and nothing") as said:
        Calibrator.from_pretrained("outputs/mine")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("name", ["./nowhere", "nowhere", "/nowhere/at/all", "a/b/c"])
def test_a_missing_folder_is_not_looked_for_on_a_hub(name):
    with pytest.raises(FileNotFoundError, match="no " + name):
        Calibrator.from_pretrained(name)


@pytest.mark.parametrize("name", ["notes.txt", "config.json"])
def test_a_folder_of_something_else_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text('{"model_type": "llama"}')
    with pytest.raises(FileExistsError, match="holds no checkpoint"):
        make().save_pretrained(tmp_path)
    assert set(contents(tmp_path)) == {name}


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path):
    (tmp_path / "empty").mkdir()
    make().save_pretrained(tmp_path / "empty")
    make().save_pretrained(tmp_path / "a" / "b" / "c")
    assert contents(tmp_path / "empty") == contents(tmp_path / "a" / "b" / "c")


def test_a_checkpoint_is_replaced_as_a_whole_but_not_what_is_not_its_own(folder):
    (folder / "notes.txt").write_text("mine")
    other = make(seed=1).with_record(pictures={})
    other.save_pretrained(folder)
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "plot.png").exists()
    loaded = Calibrator.from_pretrained(folder)
    assert loaded.temperature(TABLE).tobytes() == other.temperature(TABLE).tobytes()
    assert [file.name for file in folder.parent.iterdir()] == ["checkpoint"]


def test_a_link_keeps_pointing_at_the_checkpoint(folder):
    link = folder.parent / "link"
    link.symlink_to(folder)
    make(seed=1).save_pretrained(link)
    assert link.is_symlink()
    assert contents(link) == contents(folder)


def test_a_failed_write_leaves_the_old_checkpoint(folder):
    before = contents(folder)
    unwritable = {"nll": object()}  # no JSON: fails after the weights are written
    other = make(seed=1).with_record(metrics=unwritable)
    with pytest.raises(TypeError, match="not JSON serializable"):
        other.save_pretrained(folder)
    assert contents(folder) == before
    assert [file.name for file in folder.parent.iterdir()] == ["checkpoint"]


def test_a_failed_rename_puts_the_old_checkpoint_back(folder, monkeypatch):
    before = contents(folder)
    replace_file = os.replace

    def fail_at_the_last_moment(source, target):
        if str(source).endswith(".tmp"):
            raise OSError("disk full")
        replace_file(source, target)

    monkeypatch.setattr(_files, "_exchange", lambda a, b: False)  # as where the system has none
    monkeypatch.setattr(os, "replace", fail_at_the_last_moment)
    with pytest.raises(OSError, match="disk full"):
        make(seed=1).save_pretrained(folder)
    assert contents(folder) == before
    assert [file.name for file in folder.parent.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("exchange", [True, False])
def test_threads_and_processes_may_save_into_one_folder(folder, monkeypatch, exchange):
    """Every save succeeds, and a reader always finds one of them whole."""
    if not exchange:
        monkeypatch.setattr(_files, "_exchange", lambda a, b: False)
    saved = [make(seed=seed).with_record(metrics={"seed": seed}) for seed in range(3)]
    wanted = {}
    for calibrator in saved:
        calibrator.save_pretrained(folder)
        wanted[calibrator.record.metrics["seed"]] = contents(folder)["model.safetensors"]
    (folder / "notes.txt").write_text("somebody's")
    left, failed = threading.Barrier(4), []

    def save(calibrator):
        left.wait()
        try:
            for _ in range(8):
                calibrator.save_pretrained(folder)
                time.sleep(random.random() / 500)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=save, args=(one,)) for one in saved]
    for thread in threads:
        thread.start()
    left.wait()
    while any(thread.is_alive() for thread in threads):
        try:
            content = checkpoint.read(folder)
        except FileNotFoundError:
            assert not exchange  # between two renames there is no folder
            continue
        kept = {k: v for k, v in content.weights.items() if not k.startswith("domain.")}
        expected = saved[content.record.metrics["seed"]].thermometer.state_dict()
        assert all(torch.equal(kept[k], expected[k].float()) for k in expected)
    assert not failed
    assert contents(folder)["model.safetensors"] in wanted.values()
    assert contents(folder)["notes.txt"] == b"somebody's"
    assert [file.name for file in folder.parent.iterdir()] == ["checkpoint"]


def test_a_failed_write_leaves_nothing_new(tmp_path):
    other = make().with_record(metrics={"nll": object()})
    with pytest.raises(TypeError, match="not JSON serializable"):
        other.save_pretrained(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_weights_of_any_float_type_are_stored_as_float32(tmp_path):
    content = checkpoint.Checkpoint(
        {}, {"w": torch.ones(3, 2, dtype=torch.float64).T}, TrainingRecord((), 1.0)
    )
    checkpoint.write(replace(content, card="# card"), tmp_path / "a")
    read = checkpoint.read(tmp_path / "a")
    assert read.weights["w"].dtype == torch.float32
    assert read.weights["w"].shape == (2, 3)
    assert read.card == "# card"


def test_the_card_says_what_was_measured_in_whatever_way(folder):
    calibrator = Calibrator.from_pretrained(folder)
    calibrator.save_pretrained(folder)
    assert "Not measured on unseen tasks." in (folder / "README.md").read_text()
    measured = {"summary": "Closes 65 % of the gap on unseen subjects."}
    calibrator.with_record(metrics=measured).save_pretrained(folder)
    assert "Closes 65 % of the gap" in (folder / "README.md").read_text()


def test_without_a_hub_nothing_is_pushed(folder):
    with pytest.raises(OfflineModeIsEnabled):
        Calibrator.from_pretrained(folder).push_to_hub("somebody/thermometer")
