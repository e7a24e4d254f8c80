"""Bands and the router: what is never done, what survives, what threads and keys cannot spoil."""

import json
import sys
import threading
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from scipy.special import expit, logit
from simulation import simulate_conversations

from thermometer.routing import Bands, Router, held_confidence

EDGES = ("accept_above", "accept_until", "reject_below", "reject_until")
chances = st.floats(0, 1) | st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0])
missing = st.sampled_from([None, float("nan"), np.float32("nan")])
keys = st.sampled_from(["a", "b", "c", ""])


@st.composite
def bands(draw):
    low, until, accept_until, above = sorted(draw(st.tuples(*[chances] * 4)))
    if draw(st.booleans()):  # bands that overlap, without a review between
        until, accept_until = accept_until, until
    return Bands(above, accept_until, low, until)


def brute(edges, history):
    """The action after a history, told as a story instead of a rule."""
    action = "review"
    for c in history:
        if c is None or np.isnan(c):
            action = "review"
        elif action == "accept" and c >= edges.accept_until:
            action = "accept"
        elif action == "reject" and c < edges.reject_until:
            action = "reject"
        elif c >= edges.accept_above:
            action = "accept"
        elif c < edges.reject_below:
            action = "reject"
        else:
            action = "review"
    return action


@given(bands(), st.lists(chances | missing, max_size=30))
@settings(max_examples=300)
def test_a_key_is_decided_by_its_history_alone(edges, history):
    router = Router(edges)
    for n, c in enumerate(history, 1):
        assert router.decide("k", c).action == brute(edges, history[:n])
    assert len(router) == bool(history)


@given(bands(), chances, st.sampled_from(["accept", "review", "reject"]))
@settings(max_examples=300)
def test_the_lower_edge_is_never_accepted_below_nor_the_upper_one_rejected_above(edges, c, before):
    action = edges.action(c, before)
    if c < edges.accept_until:
        assert action != "accept"
    if c >= edges.reject_until:
        assert action != "reject"
    if c >= edges.accept_above:
        assert action == "accept"
    if c < edges.reject_below:
        assert action == "reject"
    if edges.accept_until <= c < edges.accept_above and before == "accept":
        assert action == "accept"


@given(bands(), st.lists(chances, min_size=1, max_size=40))
@settings(max_examples=200)
def test_decisions_are_constant_between_crossings(edges, history):
    """A change of decision needs a confidence on another side of some edge than the one before."""
    router = Router(edges)
    sides = [sum(c >= getattr(edges, edge) for edge in EDGES) for c in history]
    actions = [router.decide("k", c).action for c in history]
    for (a, b), (s, t) in zip(pairwise(actions), pairwise(sides), strict=True):
        assert a == b or s != t
    assert router.changes == sum(a != b for a, b in pairwise(actions))


@given(bands(), st.lists(chances, min_size=1, max_size=30))
def test_wider_bands_never_change_more_often(edges, history):
    hard = Bands(edges.accept_above, edges.accept_above, 0.0, 0.0)
    wide = Bands(edges.accept_above, edges.accept_until, 0.0, 0.0)
    changes = []
    for each in (hard, wide):
        router = Router(each)
        for c in history:
            router.decide("k", c)
        changes.append(router.changes)
    assert changes[1] <= changes[0]


@given(bands(), st.lists(st.tuples(keys, chances | missing), max_size=40), st.randoms())
def test_the_order_of_keys_does_not_matter(edges, events, random):
    together, apart = Router(edges), Router(edges)
    first = [together.decide(*event) for event in events]
    names = sorted({key for key, _ in events})
    random.shuffle(names)
    second = {name: [apart.decide(*e) for e in events if e[0] == name] for name in names}
    for name in names:
        assert [d.action for d, e in zip(first, events, strict=True) if e[0] == name] == [
            d.action for d in second[name]
        ]
    assert together.decisions == apart.decisions
    assert together.changes == apart.changes


@given(bands(), st.lists(st.tuples(st.text(max_size=3), chances | missing), max_size=30))
def test_a_router_read_back_goes_on_as_the_first_would(edges, events):
    router = Router(edges, max_keys=4)
    for event in events:
        router.decide(*event)
    copy = Router.from_json(router.to_json())
    assert copy.to_json() == router.to_json()
    assert (copy.bands, copy.max_keys, copy.actions) == (edges, 4, router.actions)
    for event in events:  # also the order in which keys are forgotten
        assert copy.decide(*event) == router.decide(*event)
    assert copy.to_json() == router.to_json()
    assert (copy.evicted, copy.changes) == (router.evicted, router.changes)


class Memory(RuleBasedStateMachine):
    """A router of three keys beside a list that is searched."""

    @initialize(edges=bands())
    def begin(self, edges):
        self.edges, self.router, self.known, self.evicted = edges, Router(edges, max_keys=3), [], 0

    @rule(key=st.sampled_from("abcde"), c=chances | missing)
    def decide(self, key, c):
        before = next((action for name, action in self.known if name == key), None)
        action = "review"
        if c is not None and not np.isnan(c):
            action = self.edges.action(c, before or "review")
        decision = self.router.decide(key, c)
        assert decision[:2] == (action, before)
        assert decision.changed == (before not in (None, action))
        self.known = [pair for pair in self.known if pair[0] != key] + [(key, action)]
        self.evicted += len(self.known) > 3
        self.known = self.known[-3:]

    @rule()
    def save_and_load(self):
        self.router = Router.from_json(self.router.to_json())

    @rule(edges=bands())
    def move_the_edges(self, edges):
        old = self.router
        self.edges, self.router = edges, old.with_bands(edges)
        assert old.bands != edges or old.to_json() == self.router.to_json()

    @invariant()
    def the_same_is_known(self):
        if hasattr(self, "router"):
            assert list(self.router.actions.items()) == self.known
            assert self.router.evicted == self.evicted
            assert len(self.router) <= 3


TestMemory = Memory.TestCase
TestMemory.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_what_is_missing_is_reviewed_and_must_be_earned_again():
    router = Router(Bands(0.9, 0.5, 0.1, 0.3))
    assert router.decide("k", 0.95).action == "accept"
    for nothing in (None, float("nan"), np.float64("nan")):
        decision = router.decide("k", nothing)
        assert (decision.action, decision.confidence) == ("review", None)
    assert router.decide("k", 0.6).action == "review"
    assert router.decide("k", np.float32(0.95)).action == "accept"
    assert router.decisions == {"accept": 2, "review": 4, "reject": 0}
    assert router.changes == 2


@pytest.mark.parametrize("bad", [-0.1, 1.0001, float("inf"), "0.5", True, [0.5]])
def test_bad_confidences_leave_no_trace(bad):
    router = Router(Bands(0.9, 0.5))
    router.decide("k", 0.95)
    before = router.to_json()
    with pytest.raises((ValueError, TypeError), match="`confidence`"):
        router.decide("k", bad)
    with pytest.raises(TypeError, match="`key` to be a string, but got 7"):
        router.decide(7, 0.5)
    assert router.to_json() == before


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((0.5, 0.6), r"`accept_until` to be at most `accept_above` \(0.5\), but got 0.6"),
        ((0.5, 0.4, 0.3, 0.2), "`reject_below` to be at most `reject_until`"),
        ((0.9, 0.4, 0.5, 0.6), "`reject_below` to be at most `accept_until`"),
        ((0.5, 0.4, 0.3, 0.6), "`reject_until` to be at most `accept_above`"),
        ((1.5, 0.4), "`accept_above`"),
        ((0.5, float("nan")), "`accept_until`"),
    ],
)
def test_edges_out_of_order_are_refused(edges, message):
    with pytest.raises(ValueError, match=message):
        Bands(*edges)


@given(chances, chances, st.floats(0, 5))
def test_bands_around_thresholds_are_on_their_safe_side(accept, reject, width):
    assume(reject <= accept)
    edges = Bands.around(accept, reject, width)
    assert (edges.accept_until, edges.reject_until) == (accept, reject)
    for near, far, sign in (
        (accept, edges.accept_above, 1),
        (reject, edges.reject_below, -1),
    ):
        if 1e-9 < near < 0.999:
            assert logit(far) - logit(near) == pytest.approx(sign * width, abs=1e-6)
        assert (far - near) * sign >= 0
    if width == 0:
        assert (edges.accept_above, edges.reject_below) == (accept, reject)
    with pytest.raises(ValueError, match="`reject`"):
        Bands.around(0.5, 0.6)


@given(
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=30),
    st.floats(0.02, 0.98),
    st.sampled_from([0.0, 0.3, 0.75, 2.0]),
    st.floats(0, 1),
)
@settings(max_examples=300)
def test_held_confidence_passes_a_threshold_exactly_if_the_router_accepts(
    history, threshold, width, share
):
    edges = Bands.around(threshold, share * threshold, width)
    router, held = Router(edges), held_confidence(history, width)
    for c, h in zip(history, held, strict=True):
        accepted = router.decide("k", c).action == "accept"
        if abs(h - threshold) > 1e-9:
            assert accepted == (h >= threshold)
        assert h <= c


def test_held_confidence_by_hand():
    assert held_confidence([0.3, 0.9, 0.5], width=0.0).tolist() == [0.3, 0.9, 0.5]
    assert held_confidence([1.0, 0.4, 0.0, 0.2], width=1.0)[:3].tolist() == [1.0, 0.4, 0.0]
    with pytest.raises(ValueError, match="`confidence` to be finite"):
        held_confidence([0.5, float("nan")])
    with pytest.raises(ValueError, match="`width`"):
        held_confidence([0.5], width=-1)


def test_threads_lose_nothing():
    """Eight threads, each with a key of its own and all with one in common."""
    conversations = simulate_conversations(8, 2000, noise=1.0, seed=2)
    edges = Bands.around(0.78, 0.76, width=0.05)
    router, alone = Router(edges), Router(edges)
    found = [[] for _ in range(8)]
    shared = [[] for _ in range(8)]

    def work(number):
        for c in conversations.confidence[number]:
            found[number].append(router.decide(f"own {number}", c))
            shared[number].append(router.decide("shared", c))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(50):  # a snapshot while they run is a whole one
            state = json.loads(router.to_json())
            assert sum(state["decisions"].values()) >= state["changes"]
            assert len(state["actions"]) <= 9
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for number in range(8):
        expected = [alone.decide(f"own {number}", c) for c in conversations.confidence[number]]
        assert found[number] == expected
    together = [decision for part in shared for decision in part]
    # One decision follows another: what each found is what exactly one other left behind.
    left = Counter(decision.action for decision in together)
    left[router.actions["shared"]] -= 1
    left[None] += 1
    assert left == Counter(decision.previous for decision in together)
    everything = together + [decision for part in found for decision in part]
    assert router.changes == sum(decision.changed for decision in everything)
    assert router.decisions == Counter(decision.action for decision in everything)
    assert len(router) == 9


def changed(text, **values):
    return json.dumps({**json.loads(text), **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format_version": 2}, "written by thermometer 0"),
        ({"format_version": 0}, "`format_version` to be 1, but got 0"),
        ({"format_version": "1"}, "`text.format_version` to be an integer"),
        ({"extra": 1}, "an object without extra"),
        ({"max_keys": 0}, "`max_keys`"),
        ({"max_keys": True}, "`text.max_keys` to be an integer"),
        ({"max_keys": 1}, "at most 1 keys, but got 2"),
        ({"changes": -1}, "`changes`"),
        ({"evicted": 1.5}, "`text.evicted` to be an integer"),
        ({"decisions": {"accept": 1}}, "`decisions` to be a count of every action"),
        ({"decisions": {"accept": 1, "review": -2, "reject": 0}}, "`decisions of review`"),
        ({"actions": {"a": "keep"}}, "`text.actions.a` to be one of"),
        ({"actions": [3]}, "`text.actions` to be an object"),
        ({"bands": {}}, "`text.bands` to be an object with accept_above, accept_until"),
        ({"bands": [0.5]}, "`text.bands` to be an object"),
        ({"bands": dict.fromkeys(EDGES, float("nan"))}, "`accept_above`"),
        ({"bands": dict.fromkeys(EDGES, "high")}, "`text.bands.accept_above` to be a number"),
    ],
)
def test_damaged_states_are_refused(values, message):
    router = Router(Bands(0.9, 0.5))
    router.decide("a", 0.95)
    router.decide("b", 0.1)
    text = router.to_json()
    with pytest.raises(ValueError, match=message):
        Router.from_json(changed(text, **values))
    for broken in (text[:-1], "[]", "3"):
        with pytest.raises(ValueError, match="`text`"):
            Router.from_json(broken)
    less = {k: v for k, v in json.loads(text).items() if k != "changes"}
    with pytest.raises(ValueError, match="an object with changes"):
        Router.from_json(json.dumps(less))


def test_a_router_says_what_it_is():
    router = Router(Bands(0.9, 0.5), max_keys=7)
    assert repr(router).startswith("Router(Bands(accept_above=0.9")
    assert repr(router).endswith("max_keys=7)")
    with pytest.raises(TypeError, match="`bands` to be Bands, but got float"):
        Router(0.9)


def test_far_fewer_changes_than_a_hard_cutoff_at_the_same_share_and_no_more_errors():
    """The benchmark's claim on fewer answers; noise in the logit of confidence is about 0.25."""
    drawn = simulate_conversations(60, 1000, seed=5)
    router = Router(Bands(expit(logit(0.8) + 0.375), expit(logit(0.8) - 0.375)))
    accepted = np.array(
        [
            [router.decide(str(k), c).action == "accept" for c in row]
            for k, row in enumerate(drawn.confidence)
        ]
    )
    hard = drawn.confidence >= np.quantile(drawn.confidence, 1 - accepted.mean())
    assert hard.mean() == pytest.approx(accepted.mean(), abs=1e-3)
    flips = (hard[:, 1:] != hard[:, :-1]).sum()
    assert flips > 8 * router.changes > 0
    wrong = 1 - drawn.probability
    assert wrong[accepted].mean() < wrong[hard].mean()


@pytest.mark.parametrize("confidence", [90, -1, float("inf"), 1.0000001])
def test_bands_refuse_what_is_no_confidence(confidence):
    """90 meant percent, and was accepted."""
    with pytest.raises(ValueError, match=r"`confidence` to be in \[0, 1\]"):
        Bands(0.9, 0.8).action(confidence)
    assert Bands(0.9, 0.8).action(float("nan"), "accept") == "review"
