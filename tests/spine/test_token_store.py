"""Keys and values of prefixes: read by any rows, never changed, only of caches that are known."""

from dataclasses import replace

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from thermometer.runners import PrefixCache
from thermometer.tokenization import TokenStore, TokenTree

PREFIXES = ((5, 6, 7, 8), (9, 10))


def computed(kind, prefixes):
    length = max(map(len, prefixes))
    ids = torch.tensor([[*prefix, *[0] * (length - len(prefix))] for prefix in prefixes])
    with torch.no_grad():
        return tiny.model(kind)(input_ids=ids, use_cache=True).past_key_values


def test_rows_get_the_keys_of_their_prefix_before_their_own():
    cache = PrefixCache(computed("llama", PREFIXES), PREFIXES)
    before = cache.layers[0].keys.clone()
    new = torch.randn(3, 2, 5, 8)
    keys, values = cache.read_by([PREFIXES[1], PREFIXES[0], PREFIXES[1]]).update(new, -new, 0)
    torch.testing.assert_close(keys[:, :, :4], before[[1, 0, 1]])
    torch.testing.assert_close(keys[:, :, 4:], new)
    torch.testing.assert_close(values[:, :, 4:], -new)
    again, _ = cache.update(new, -new, 0)
    torch.testing.assert_close(again, keys)  # nothing was kept
    torch.testing.assert_close(cache.layers[0].keys, before)


def test_only_as_many_columns_as_the_rows_need():
    cache = PrefixCache(computed("llama", PREFIXES), PREFIXES)
    new = torch.randn(2, 2, 5, 8)
    keys, _ = cache.read_by([PREFIXES[1]] * 2).update(new, new, 1)
    assert keys.shape == (2, 2, 2 + 5, 8)
    torch.testing.assert_close(keys[0, :, :2], cache.layers[1].keys[1, :, :2])


@pytest.mark.parametrize("kind", ["lfm2", "mistral"])
def test_caches_without_all_positions_are_refused(kind):
    """Convolutions keep states; a sliding window forgets what is left of it."""
    long = (tuple(range(5, 45)),)
    with pytest.raises(TypeError, match="Expected"):
        PrefixCache(computed(kind, long), long)


runs = st.lists(st.integers(0, 2**31 - 1), max_size=6).map(tuple)
trees = st.builds(TokenTree, st.just("q"), runs, st.lists(runs, max_size=3).map(tuple), runs, runs)


@given(st.lists(st.tuples(trees, st.none() | trees), max_size=6))
def test_stored_trees_come_back_as_they_were(pairs):
    whole = [replace(tree, prior=prior) for tree, prior in pairs]
    store = TokenStore(whole)
    assert list(store) == whole
    assert store[:] == whole
    assert [store[i] for i in range(-len(whole), 0)] == whole


def test_stored_trees_take_four_bytes_a_token():
    store = TokenStore(TokenTree(str(n), tuple(range(500)), ((1,), (2,))) for n in range(200))
    numbers = store._numbers
    assert numbers.itemsize == 4
    assert len(numbers) < 1.05 * 200 * 502
