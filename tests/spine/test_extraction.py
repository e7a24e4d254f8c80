"""Extraction through Lightning, in this process, killed, resumed, on several processes."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from extraction_script import Kill, run, task

from thermometer import _files
from thermometer._lightning import quiet
from thermometer.extraction import extract
from thermometer.language_model import LanguageModel
from thermometer.tables import OutputTable
from thermometer.templates import Template
from thermometer.types import Question, Task

SCRIPT = Path(__file__).parents[1] / "extraction_script.py"
CPU = {"accelerator": "cpu", "enable_progress_bar": False}
CLOZE = Template("cloze")


def files(folder):
    """All files but the summary, which says how long a run took."""
    paths = sorted(folder.iterdir())
    return {path.name: path.read_bytes() for path in paths if path.name != "summary.json"}


def script(*arguments):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def finished(lm, tmp_path_factory):
    """An extraction by this process alone that nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished") / "many"
    run(folder, task(), lm)
    return folder


@pytest.fixture(scope="module")
def by_three(tmp_path_factory):
    """The same by three processes, in `many`; and in `few` one question, which is one part."""
    folder = tmp_path_factory.mktemp("three")
    result = script(folder, 3)
    assert result.returncode == 0, result.stderr
    return folder


def test_table_equals_what_the_model_says(lm, finished):
    table, questions = OutputTable.open(finished), task()
    expected = lm.with_token_budget(10**6).outputs(CLOZE.render_task(questions), CLOZE)
    assert table.ids == tuple(question.id for question in questions.questions)
    assert table.task_names == ("sizes",)
    answers = [
        -1 if question.answer is None else question.answer for question in questions.questions
    ]
    assert table.labels.tolist() == answers
    np.testing.assert_allclose(table.features, expected.features, atol=1e-5)
    np.testing.assert_allclose(table.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(table.option_mass, expected.option_mass, atol=1e-5)
    assert table.provenance == {name: lm.provenance(CLOZE) for name in ("features", "scores")}


def test_the_plan_has_many_parts(finished):
    assert len(list(finished.glob("part-*.parquet"))) >= 8


def test_finished_table_is_returned_without_touching_it(lm, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.iterdir()}
    table = run(finished, task(), lm)
    assert len(table) == 70
    assert {path: path.stat().st_mtime_ns for path in finished.iterdir()} == before


def test_several_tasks_in_one_table(lm, tmp_path):
    table = run(tmp_path / "t", [task("b", 3), task("a", 4)], lm)
    assert table.task_names == ("a", "b")
    assert table.ids[:3] == ("b/0", "b/1", "b/2")
    with pytest.raises(ValueError, match="'b/0' twice in the tasks"):
        run(tmp_path / "u", [task("b", 3), Task("c", task("b", 1).questions)], lm)


@pytest.mark.parametrize("missing", ["features", "scores"])
def test_one_product_alone(lm, finished, tmp_path, missing):
    table = extract(lm, task(), tmp_path / "t", template=CLOZE, trainer=CPU, **{missing: False})
    whole = OutputTable.open(finished)
    assert getattr(table, missing) is None
    assert table.provenance[missing] is None
    kept = "scores" if missing == "features" else "features"
    np.testing.assert_allclose(getattr(table, kept), getattr(whole, kept), atol=1e-5)
    assert (table.option_mass is None) == (missing == "scores")


def test_features_of_one_model_join_scores_of_another(lm, tmp_path):
    small = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="small", num_layers=1)
    features = extract(small, task(), tmp_path / "f", scores=False, trainer=CPU)
    scores = extract(lm, task(), tmp_path / "s", template=CLOZE, features=False, trainer=CPU)
    joined = features.join(scores)
    assert joined.provenance["features"]["num_layers"] == 1
    assert joined.provenance["scores"]["model"] == "tiny-llama"
    assert joined.features.shape == (70, 32)
    assert joined.scores.shape == (70, 4)


def test_half_precision_features(lm, finished, tmp_path):
    table = extract(
        lm, task(), tmp_path / "t", template=CLOZE, feature_dtype="float16", trainer=CPU
    )
    whole = OutputTable.open(finished)
    np.testing.assert_array_equal(table.features, table.features.astype(np.float16))
    np.testing.assert_allclose(table.features, whole.features, atol=2e-3, rtol=2e-3)


def test_overflow_of_half_precision_names_the_question(tmp_path):
    model = tiny.model("llama")
    model.model.norm.weight.data *= 1e5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lm = LanguageModel(model, tiny.tokenizer(), name="loud")
    with pytest.raises(ValueError, match=r"overflow of float16 for question sizes/\d"):
        extract(lm, task(), tmp_path, scores=False, feature_dtype="float16", trainer=CPU)


@pytest.mark.parametrize(
    ("name", "code", "processes"), [("SIGKILL", -9, 2), ("SIGTERM", 128 + 15, 1)]
)
def test_killed_extraction_is_finished_by_the_same_command(
    lm, finished, tmp_path, name, code, processes
):
    """The process dies by a signal with three parts written; a fourth is left half written.

    Any number of processes completes it, to the last byte.
    """
    killed = script(tmp_path, 1, name)
    assert killed.returncode == code, killed.stderr
    folder = tmp_path / "many"
    assert len(list(folder.glob("part-*.parquet"))) == 3
    assert not (folder / "manifest.json").exists()
    with pytest.raises(FileNotFoundError, match="cut short"):
        OutputTable.open(folder)
    dead = f".part-00003.parquet.{_files._kernel()}.0.tmp"  # nobody has locked it
    (folder / dead).write_bytes(b"PAR1 half a part")
    written = {path: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}
    if processes == 1:
        run(folder, task(), lm)
    else:
        resumed = script(tmp_path, processes)
        assert resumed.returncode == 0, resumed.stderr
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert files(folder) == files(finished)


@pytest.fixture
def interruptible():
    """What runs in the background of a shell ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_comes_out_and_so_does_the_next(lm, finished, tmp_path, capfd):
    """Lightning would exit, and ignore interrupts ever after."""
    before = signal.getsignal(signal.SIGINT)
    folder = tmp_path / "many"
    for parts in (3, 6):
        with pytest.raises(KeyboardInterrupt):
            run(folder, task(), lm, callbacks=Kill("SIGINT"))
        assert signal.getsignal(signal.SIGINT) is before
        assert len(list(folder.glob("part-*.parquet"))) == parts
    run(folder, task(), lm)
    assert files(folder) == files(finished)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize("keywords", [{"accelerator": "gpu"}, {"devices": 0}])
@pytest.mark.skipif(torch.cuda.is_available(), reason="suits a machine with a GPU")
def test_keywords_that_do_not_suit_the_machine(lm, tmp_path, keywords):
    with pytest.raises(
        ValueError, match=r"`trainer` to be keywords that suit .*, but got .*(gpu|0)"
    ):
        run(tmp_path / "t", task(), lm, **keywords)


def test_three_processes_equal_one(lm, finished, by_three, tmp_path):
    """Also where there are fewer parts than processes."""
    names = [set(files(folder)) for folder in (by_three / "many", finished)]
    assert names[0] == names[1]
    assert files(by_three / "many")["manifest.json"] == files(finished)["manifest.json"]
    three, one = OutputTable.open(by_three / "many"), OutputTable.open(finished)
    assert three.ids == one.ids
    np.testing.assert_allclose(three.features, one.features, atol=1e-5)
    np.testing.assert_allclose(three.scores, one.scores, atol=1e-5)
    few = run(tmp_path / "alone", task("few", 1), lm)
    assert len(list((by_three / "few").glob("part-*"))) == 1
    np.testing.assert_allclose(OutputTable.open(by_three / "few").scores, few.scores, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": Template("cloze", "char")}, r"provenance\.features\.template\.norm"),
        ({"lm": 301}, "token_budget"),
        ({"feature_dtype": "float16"}, "feature_dtype"),
        ({"features": False}, r"provenance\.features"),
        ({"tasks": task(n=69)}, "digest"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(lm, finished, change, message):
    before = files(finished)
    change = {"lm": 300, **change}
    change["lm"] = lm.with_token_budget(change["lm"])
    arguments = {"tasks": task(), "template": CLOZE, "trainer": CPU, **change}
    with pytest.raises(ValueError, match=rf"another extraction: .*{message}.* differ"):
        extract(out_dir=finished, **arguments)
    assert files(finished) == before


def test_another_model_in_the_same_folder_is_refused(finished):
    other = LanguageModel(tiny.model("llama", seed=1), tiny.tokenizer(), name="tiny-llama")
    with pytest.raises(ValueError, match=r"provenance\.features\.fingerprint"):
        run(finished, task(), other)


def test_table_of_another_program_is_left_alone(lm, finished, tmp_path):
    for name, content in files(finished).items():
        if name != "plan.json":
            (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="another program made"):
        run(tmp_path, task(), lm)


def test_incomplete_prediction_is_not_declared_finished(lm, tmp_path):
    with pytest.raises(RuntimeError, match="parts were not written"):
        run(tmp_path / "t", task(), lm, limit_predict_batches=2)
    assert not (tmp_path / "t" / "manifest.json").exists()
    assert len(run(tmp_path / "t", task(), lm)) == 70


def test_refused_prompts_leave_no_folder_behind(lm, tmp_path):
    long = Task("t", (Question("long", "Which? " * 600, ("a", "b")),))
    with pytest.raises(ValueError, match="question long"):
        extract(lm, long, tmp_path / "t", trainer=CPU)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": False, "scores": False}, "False for both"),
        ({"feature_dtype": "int8"}, "`feature_dtype` to be one of"),
        ({"tasks": []}, "at least one task"),
        ({"trainer": {"precision": "bf16-mixed"}}, "without `precision`"),
    ],
)
def test_impossible_settings(lm, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        extract(lm, out_dir=tmp_path / "t", **{"tasks": task(), "trainer": CPU, **arguments})
    assert not (tmp_path / "t").exists()


def test_cut_model_gives_no_scores(tmp_path):
    cut = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="cut", num_layers=1)
    with pytest.raises(ValueError, match="model cut to its first layers"):
        extract(cut, task(), tmp_path / "t", trainer=CPU)
    assert not (tmp_path / "t").exists()


def test_low_option_mass_is_announced(lm, tmp_path):
    with pytest.warns(UserWarning, match=r"letters hold only \d+% .* chat=True"):
        extract(lm, task(), tmp_path / "t", trainer=CPU)
    with pytest.warns(UserWarning, match="letters hold only"):  # also when it is opened again
        extract(lm, task(), tmp_path / "t", trainer=CPU)


def test_high_option_mass_is_not(tmp_path):
    """A model whose head knows hardly anything but letters."""
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer()
    letters = [tokenizer.convert_tokens_to_ids(f"Ġ{letter}") for letter in "ABCD"]
    model.lm_head = type(model.lm_head)(32, len(tokenizer))
    model.lm_head.weight.data.zero_()
    model.lm_head.bias.data[letters] = 9.0
    lm = LanguageModel(model, tokenizer, name="lettered")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = extract(lm, task(), tmp_path / "t", trainer=CPU)
    assert table.option_mass[2] > 0.9


def test_encoder_decoder_is_extracted_too(tmp_path):
    tokenizer = tiny.tokenizer(bos=False, eos=True)
    lm = LanguageModel(tiny.model("t5"), tokenizer, name="t5")
    with pytest.warns(UserWarning, match="letters hold only"):
        table = extract(lm, task(), tmp_path / "t", trainer=CPU)
    expected = lm.outputs(Template().render_task(task()), Template())
    np.testing.assert_allclose(table.scores, expected.scores, atol=1e-4)


def test_nothing_but_the_work_is_announced(lm, tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tmp_path / "t", task(), lm)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_quiet_lets_other_messages_through(caplog):
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    with quiet(), caplog.at_level(logging.INFO, logger.name):
        logger.info("GPU available: False")
        logger.info("something that matters")
        with pytest.warns(UserWarning, match="real"):
            warnings.warn("real", stacklevel=1)
    logger.info("GPU available: False")
    assert not logger.filters
    assert "something that matters" in caplog.messages
    assert caplog.messages.count("GPU available: False") == 1  # the one after it


def test_plan_is_written_for_people(finished):
    plan = json.loads((finished / "plan.json").read_text())
    assert set(plan) == {"digest", "provenance", "token_budget", "feature_dtype"}


def test_the_summary_counts_what_was_computed(lm, finished, tmp_path):
    before = lm.work
    small = lm.with_token_budget(300)
    extract(small, task(), tmp_path / "t", template=CLOZE, trainer=CPU)
    work = lm.work - before
    found = json.loads((tmp_path / "t" / "summary.json").read_text())
    assert {name: found[name] for name in ("prompts", "input_tokens", "tokens", "padding")} == {
        "prompts": 70,
        "input_tokens": sum(tree.n_tokens for tree in lm.encode(CLOZE.render_task(task()), CLOZE)),
        "tokens": work.tokens,
        "padding": work.padding,
    }
    assert found["operations"] == lm.size.operations(work)
    assert found["seconds"] > 0
    assert found["devices"] == ["cpu"]


def test_the_summary_counts_all_processes(by_three, finished):
    """Each computes its parts, and a prefix that parts of two need is computed twice."""
    three, one = (
        json.loads((folder / "summary.json").read_text())
        for folder in (by_three / "many", finished)
    )
    assert three["devices"] == ["cpu"] * 3
    for name in ("prompts", "input_tokens", "padding"):
        assert three[name] == one[name]


def test_the_summary_of_a_resumed_run_is_its_own(lm, tmp_path):
    with pytest.raises(RuntimeError, match="parts were not written"):
        run(tmp_path, task(), lm, limit_predict_batches=2)
    written = sum(pq.read_metadata(part).num_rows for part in (tmp_path).glob("part-*.parquet"))
    run(tmp_path, task(), lm)
    assert json.loads((tmp_path / "summary.json").read_text())["prompts"] == 70 - written


def test_bar_and_summary_are_shown(lm, tmp_path, capfd):
    extract(lm, task(), tmp_path, template=CLOZE, trainer={"accelerator": "cpu"})
    shown = capfd.readouterr().out
    lines = shown.splitlines()
    assert re.match(r"features and scores, [\d,]+ tokens/s .* (\d+)/\1 0:", lines[0]), lines
    assert re.search(r"\nfeatures and scores: 70 prompts, [\d,]+ tokens, \d+% of them", shown)


def test_budget_is_chosen_once_and_kept(lm, tmp_path):
    table = extract(lm, task(), tmp_path, template=CLOZE, trainer=CPU)
    assert json.loads((tmp_path / "plan.json").read_text())["token_budget"] == 4096
    assert len(extract(lm, task(), tmp_path, template=CLOZE, trainer=CPU)) == len(table)
    with pytest.raises(ValueError, match="token_budget differ"):
        extract(lm.with_token_budget(100), task(), tmp_path, template=CLOZE, trainer=CPU)


def test_budget_of_an_extraction_that_was_begun_is_taken_over(lm, tmp_path):
    with pytest.raises(RuntimeError, match="parts were not written"):
        run(tmp_path, task(), lm, limit_predict_batches=2)
    table = extract(lm, task(), tmp_path, template=CLOZE, trainer=CPU)
    assert json.loads((tmp_path / "plan.json").read_text())["token_budget"] == 300
    assert len(table) == 70
