"""Several answering models: each on its own scale, one thermometer for all, and for a new one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import QUIET, SCORES, SHORT, answers

from thermometer.adaptation import adapt, for_model
from thermometer.calibrator import Calibrator
from thermometer.data import TaskData, rows_of, set_aside
from thermometer.network import Thermometer, ThermometerConfig
from thermometer.scaling import fit_temperature
from thermometer.tables import OutputTable
from thermometer.training import TrainingConfig, train
from thermometer.types import Question, Task


def error(calibrator, table, truth):
    return float(np.sqrt(np.mean((np.log(calibrator.temperature(table)) - np.log(truth)) ** 2)))


@pytest.mark.parametrize(("model", "scale", "level"), [("hot", 4.0, 2.0), ("cool", 0.5, 4.0)])
def test_one_thermometer_is_right_for_each_of_its_models(family, model, scale, level):
    """The pooled temperature of unseen tasks is off by 0.4, the other model's twice as far."""
    table, truth = answers(model, scale, level, n_tasks=12, seed=2, first=50)
    ours = for_model(family, model)
    assert ours.target == {"model": model}
    assert error(ours, table, truth) < 0.25
    pooled = np.log(ours.pooled_temperature) - np.log(truth)
    assert np.sqrt(np.mean(pooled**2)) > 0.35
    (other,) = {"hot", "cool"} - {model}
    assert error(for_model(family, other), table, truth) > np.log(2)


def opposed(model, sign, seed, n_tasks=24, n=50):
    """A model whose scores spread more where it is overconfident (1), or less (-1)."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(-0.7, 0.7, n_tasks).repeat(n)
    true = rng.normal(size=(n_tasks * n, 4)) * 2 * np.exp((sign - 1) * u)[:, None]
    labels = (true + rng.gumbel(size=true.shape)).argmax(axis=1)
    temperature = np.exp(u + sign)
    names = [f"task {seed} {i // n:02d}" for i in range(n_tasks * n)]
    ids, made = map(str, range(len(names))), {"scores": {"model": model}}
    scores = true * temperature[:, None]
    return OutputTable.from_arrays(ids, names, labels, scores, provenance=made), temperature


def test_networks_that_read_the_model_tell_what_holds_for_each():
    """What spreads of scores mean differs between the two, which standardised ones do not say."""
    signs = {"more": 1, "less": -1}
    tables = [opposed(model, sign, seed=3)[0] for model, sign in signs.items()]
    errors = {}
    for views in (("scores",), ("scores+model",)):
        found = train(tables, replace(SCORES, views=views), SHORT, trainer=QUIET)
        errors[views] = [
            error(for_model(found, model), *opposed(model, sign, seed=4))
            for model, sign in signs.items()
        ]
    assert max(errors["scores+model",]) < 0.7 * min(errors["scores",])


def test_the_model_is_a_number_between_those_of_the_training():
    scales, wide = {"a": 1.0, "b": 8.0, "c": 4.0}, {"n_tasks": 8, "n_features": 70}
    tables = [answers(name, scale, **wide)[0] for name, scale in scales.items()]
    calibrator = train(tables, training=TrainingConfig(max_steps=2), trainer=QUIET)
    network = calibrator.thermometer
    assert network.config == ThermometerConfig.for_family()
    some = {"features": torch.zeros(3, 70), "scores": torch.randn(3, 4)}
    numbers = network.inputs(**some, models=torch.arange(3))["model"].squeeze(1).tolist()
    assert numbers[:2] == pytest.approx([-2, 2])
    assert 0 < numbers[2] < 2
    for scale, number in ((0.1, -2), (100.0, 2), (8**0.5, 0)):  # a new one is like the nearest
        adapted = adapt(calibrator, answers("new", scale, **wide)[0]).thermometer
        assert adapted.inputs(**some)["model"].squeeze(1).tolist() == pytest.approx(
            [number] * 3, abs=0.2
        )
    assert "model" not in calibrator.calibrate(tables[0]).distances


def test_of_one_model_there_is_nothing_to_tell():
    table, _ = answers("a", 2.0, n_tasks=8, n_features=70)
    one = train(table, training=TrainingConfig(max_steps=2), trainer=QUIET)
    assert one.thermometer.config == ThermometerConfig()
    alone = Thermometer(ThermometerConfig(("scores+model",)))
    alone.set_model_temperatures(3.0)
    assert not alone.inputs(scores=torch.randn(3, 4))["model"].any()
    with pytest.raises(ValueError, match="`views` to be of sources that tell rows apart"):
        ThermometerConfig(("scores", "model"))


def test_the_first_model_is_the_default_and_models_are_told_by_name_or_place(family):
    assert [target["model"] for target in family.record.targets] == ["hot", "cool"]
    assert (family.model, family.target["model"]) == (0, "hot")
    assert for_model(family, 1).target == for_model(family, "cool").target
    assert family.model == 0  # nothing was changed in place
    for wrong in ("warm", 2):
        with pytest.raises(ValueError, match="`model`"):
            for_model(family, wrong)


def test_a_checkpoint_keeps_all_models(family, tmp_path):
    family.save_pretrained(tmp_path / "family")
    again = Calibrator.from_pretrained(tmp_path / "family")
    assert again.record.targets == family.record.targets
    assert np.array_equal(again.record.domain.models, family.record.domain.models)
    assert "hot, cool" in (tmp_path / "family/README.md").read_text()
    for model, scale in (("hot", 4.0), ("cool", 0.5)):
        table, _ = answers(model, scale, n_tasks=2, seed=3)
        one, other = (for_model(c, model).calibrate(table).temperature for c in (family, again))
        assert np.array_equal(one, other)


def test_one_that_was_chosen_is_saved_with_all_models_and_loaded_as_the_first(family, tmp_path):
    for_model(family, "cool").save_pretrained(tmp_path)
    again = Calibrator.from_pretrained(tmp_path)
    assert again.target == family.target
    assert again.pooled_temperature == pytest.approx(family.pooled_temperature)
    assert for_model(again, "cool").pooled_temperature == for_model(family, 1).pooled_temperature


def test_a_new_model_needs_its_own_scale_only():
    """Trained on one model, used on one that knows more and is eight times cooler."""
    trained = train(answers("hot", 4.0, seed=0)[0], SCORES, SHORT, trainer=QUIET)
    seen, _ = answers("new", 0.5, level=3.0, seed=4)
    table, truth = answers("new", 0.5, level=3.0, n_tasks=12, seed=5, first=50)
    few = replace(seen, labels=np.where(np.arange(len(seen)) % 4 == 0, seen.labels, -1))
    for known in (seen, few):
        adapted = adapt(trained, known)
        assert error(adapted, table, truth) < 0.3
        labelled = known.labels >= 0
        pooled = fit_temperature(known.scores[labelled], known.labels[labelled]).temperature
        assert adapted.pooled_temperature == pytest.approx(pooled)
    assert error(trained, table, truth) > 2 * error(adapted, table, truth)
    assert adapted.target == {"model": "new"}
    assert trained.target == {"model": "hot"}


def test_adapting_to_the_model_of_the_training_changes_nothing(tmp_path):
    table, _ = answers("hot", 4.0, n_tasks=8)
    network = ThermometerConfig(n_components=3, n_members=2, hidden_size=8)
    trained = train(table, network, TrainingConfig(max_steps=20), trainer=QUIET)
    adapted = adapt(trained, table)
    assert adapted.temperature(table) == pytest.approx(trained.temperature(table), rel=1e-5)
    adapted.save_pretrained(tmp_path / "c")
    again = Calibrator.from_pretrained(tmp_path / "c")
    assert np.array_equal(again.temperature(table), adapted.temperature(table))


def test_temperatures_follow_the_scale_of_the_scores_of_a_new_model(family):
    """Scores ten times as large have temperatures ten times as large, whatever was trained on."""
    table, _ = answers("new", 1.0, n_tasks=6, seed=6)
    larger = replace(table, scores=table.scores * 10)
    ratio = adapt(family, larger).temperature(larger) / adapt(family, table).temperature(table)
    assert ratio == pytest.approx(10, rel=1e-4)


def test_networks_that_do_not_hold_for_a_new_model_are_not_trusted(family):
    """In the new world scores are true however far they spread: the pooled temperature is right."""
    table, _ = answers("new", 1.0, seed=7)
    drawn = np.random.default_rng(8).gumbel(size=table.scores.shape)
    honest = replace(table, labels=(table.scores + drawn).argmax(axis=1))
    adapted = adapt(family, honest)
    assert float(adapted.thermometer.shrinkage) < 0.4
    assert adapted.temperature(honest) == pytest.approx(1, rel=0.3)  # else from 0.5 to 2
    relative = adapt(family, table)
    assert 0.8 < float(relative.thermometer.shrinkage) <= 1


def test_the_trust_is_the_most_probable_one(family):
    """Among 100,000 in [0, 1], by the formula written out; tasks weigh equally."""
    table, _ = answers("new", 1.0, n_tasks=8, n=20, seed=7)
    drawn = np.random.default_rng(8).gumbel(size=table.scores.shape)
    labels = np.where(np.arange(len(table)) % 3, (table.scores + drawn).argmax(axis=1), -1)
    labels[:15] = -1
    part = replace(table, labels=labels)
    adapted = adapt(family, part)
    trust = float(adapted.thermometer.shrinkage)
    adapted.thermometer.shrinkage.fill_(1)
    known = labels >= 0
    scores, chosen = table.scores[known], labels[known]
    start = -np.log(adapted.pooled_temperature)
    deviation = -np.log(adapted.temperature(part))[known] - start
    sizes = np.array([(table.tasks[known] == task).sum() for task in table.tasks[known]])

    def loss(weight):
        z = scores * np.exp(start + weight * deviation)[:, None]
        nll = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), chosen]
        return (nll / sizes).sum() / 8 + (weight - 1) ** 2 / (2 * len(z) * 0.5**2)

    best = 0.5
    for step in (1e-2, 1e-3, 1e-5):
        near = np.clip(best + step * np.arange(-100, 101), 0, 1)
        best = near[np.argmin([loss(weight) for weight in near])]
    assert 0.1 < best < 0.9
    assert trust == pytest.approx(best, abs=1e-4)


def test_without_labels_scores_or_tasks_a_new_model_is_refused(family):
    table, _ = answers("new", 1.0, n_tasks=3, n=20)
    with pytest.raises(ValueError, match="`table` to be labelled in some rows"):
        adapt(family, replace(table, labels=np.full(len(table), -1)))
    with pytest.raises(ValueError, match="two or more tasks"):
        adapt(family, table.of_tasks(["task 00"]))
    with pytest.raises(ValueError, match="with scores"):
        adapt(family, replace(table, scores=None))


def test_a_new_model_beside_its_base_needs_no_label():
    """Each chat model is its base model, made too sure by a factor of its own, and different noise.

    The thermometer learns from a first pair; of the second it sees scores only.
    """

    def pair(factor, seed, n_tasks=12, n=80):
        rng = np.random.default_rng(seed)
        size = n_tasks * n
        spread = np.exp(rng.uniform(-0.7, 0.7, n_tasks)).repeat(n)[:, None]
        true = rng.normal(size=(size, 4)) * 3 * spread
        labels = (true + rng.gumbel(size=true.shape)).argmax(axis=1)
        names = [f"task {seed} {i // n:02d}" for i in range(size)]
        columns = list(map(str, range(size))), names, labels
        base = OutputTable.from_arrays(*columns, true, provenance={"scores": {"model": "base"}})
        made = {"scores": {"model": f"chat {factor}"}}
        return OutputTable.from_arrays(*columns, true * factor, provenance=made).with_reference(
            base
        )

    network = replace(SCORES, views=("scores+reference",))
    calibrator = train(pair(4.0, 1), network, TrainingConfig(max_steps=60), trainer=QUIET)
    new = pair(2.5, 2)
    unknown = replace(new, labels=np.full(len(new), -1))
    adapted, labelled = adapt(calibrator, unknown), adapt(calibrator, new)
    assert adapted.pooled_temperature == pytest.approx(2.5, rel=0.1)
    assert adapted.temperature(new) == pytest.approx(labelled.temperature(new), rel=0.2)
    assert adapted.thermometer.shrinkage.tolist() == [1]
    with pytest.raises(ValueError, match="labelled in some rows, or a thermometer that reads"):
        adapt(train(new, SCORES, TrainingConfig(max_steps=2), trainer=QUIET), unknown)


def test_features_of_another_small_model_are_refused():
    table, _ = answers("a", 2.0, n_tasks=4)
    reading = ThermometerConfig(("features",), n_components=3, n_members=1, hidden_size=8)
    calibrator = train(table, reading, TrainingConfig(max_steps=2), trainer=QUIET)
    other = replace(table, provenance={**table.provenance, "features": {"model": "other"}})
    with pytest.raises(ValueError, match=r"features of small .* but got features of other"):
        adapt(calibrator, other)


def test_arguments_of_another_kind_are_named(family):
    table, _ = answers("a", 2.0, n_tasks=4)
    with pytest.raises(TypeError, match=r"`network` to be a ThermometerConfig .*, but got str"):
        train(table, "scores")
    with pytest.raises(TypeError, match=r"`training` to be a TrainingConfig .*, but got dict"):
        train(table, SCORES, {"max_steps": 2})
    with pytest.raises(TypeError, match="`table` to be a OutputTable"):
        adapt(family, [table])
    with pytest.raises(TypeError, match="`calibrator` to be a Calibrator"):
        adapt(table, family)
    with pytest.raises(TypeError, match="`calibrator` to be a Calibrator"):
        for_model(table, 0)


def test_tasks_are_no_tables():
    with pytest.raises(
        TypeError, match=r"`tables` .* but got Task, from which `extract` makes one"
    ):
        train([Task("t", (Question("q", "Is it?", ("Yes", "No"), 0),))], SCORES, trainer=QUIET)


def test_a_features_only_thermometer_serves_several_models_too():
    tables = [answers(name, scale, n_tasks=6)[0] for name, scale in (("a", 4.0), ("b", 1.0))]
    network = ThermometerConfig(("features",), n_components=3, n_members=1, hidden_size=8)
    trained = train(tables, network, TrainingConfig(max_steps=5), trainer=QUIET)
    same = replace(tables[0], scores=None)
    ratio = for_model(trained, "a").temperature(same) / for_model(trained, "b").temperature(same)
    assert ratio == pytest.approx(
        for_model(trained, "a").pooled_temperature / for_model(trained, "b").pooled_temperature
    )


def test_rows_of_several_models_are_on_one_scale_and_keep_their_padding():
    wide, _ = answers("wide", 3.0, n_tasks=3, n=20)
    narrow = replace(
        wide,
        scores=wide.scores[:, :3],
        labels=np.minimum(wide.labels, 2),
        provenance={**wide.provenance, "scores": {"model": "narrow"}},
    )
    rows = rows_of([wide, narrow], frozenset({"features"}))
    assert rows.scores.shape == (120, 4)
    assert np.isneginf(rows.common[60:, 3]).all()
    for model in (0, 1):
        here = rows.models == model
        refitted = fit_temperature(rows.common[here], rows.labels[here]).temperature
        assert refitted == pytest.approx(np.sqrt(np.prod(rows.temperatures)), rel=1e-6)
    assert rows.task_names == ("task 00", "task 01", "task 02") * 2
    assert np.array_equal(rows.features[:60], rows.features[60:])


def test_tables_of_other_features_are_refused():
    table, _ = answers("a", 1.0, n_tasks=2, n=20)
    other = replace(table, provenance={**table.provenance, "features": {"model": "other"}})
    with pytest.raises(ValueError, match="one provenance of features"):
        rows_of([table, other], frozenset())
    with pytest.raises(ValueError, match="at least one table"):
        rows_of([], frozenset())


def test_seen_tasks_of_every_model_are_in_the_domain(family):
    """The same task of another model is near: that must not make all others far."""
    assert len(family.record.domain.points["scores"]) == 48
    for model, scale, level in (("hot", 4.0, 2.0), ("cool", 0.5, 4.0)):
        table, _ = answers(model, scale, level, seed=9)
        inside = [
            for_model(family, model).calibrate(table.of_tasks([name])).in_domain
            for name in table.task_names
        ]
        assert np.mean(inside) > 0.7
    far = replace(table, scores=table.scores * 30)
    assert not for_model(family, "cool").calibrate(far.of_tasks(["task 00"])).in_domain


def test_a_task_is_set_aside_for_all_models_at_once():
    tables = [answers(name, 1.0, n_tasks=6, n=20)[0] for name in "ab"]
    data = TaskData.from_rows(rows_of(tables, frozenset()), {})
    names = np.concatenate([table.tasks for table in tables])
    for member in range(3):
        seen, kept = set_aside(data, "tasks", 0.2, member, 3)
        mine, theirs = (set(names[torch.cat(part.rows)]) for part in (seen, kept))
        assert not mine & theirs
        assert len(theirs) == 2
        assert len(kept.rows) == 4
