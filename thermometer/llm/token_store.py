"""Token trees of very many prompts in little memory: four bytes a token.

A list of `TokenTree`s holds each token as a Python integer, which takes ten times as much. Nothing
here knows what the tokens mean.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from thermometer.llm.tokenization import TokenTree


class TokenStore(Sequence[TokenTree]):
    """Token trees that are packed when added and unpacked when asked for.

    A tree's `prior` belongs to the same question, so that it has the same id.

    Example:
        >>> tree = TokenTree("q", (1, 2, 3), ((4,), (5, 6)), divisors=(1, 2))
        >>> store = TokenStore([tree, TokenTree("q", (7,), prior=tree)])
        >>> len(store), store[0] == tree, store[-1].prior == tree
        (2, True, True)
    """

    def __init__(self, trees: Iterable[TokenTree] = ()) -> None:
        self._ids: list[str] = []
        self._numbers = array("i")
        self._starts = array("q")
        for tree in trees:
            self.append(tree)

    def append(self, tree: TokenTree) -> None:
        """Add a tree at the end."""
        self._ids.append(tree.id)
        self._starts.append(len(self._numbers))
        self._pack(tree)

    def _pack(self, tree: TokenTree) -> None:
        runs = (tree.prefix, tree.tail, tree.divisors, *tree.branches)
        self._numbers.extend((tree.prior is not None, len(runs), *map(len, runs)))
        for run in runs:
            self._numbers.extend(run)
        if tree.prior is not None:
            self._pack(tree.prior)

    def _unpack(self, identifier: str, start: int) -> TokenTree:
        numbers = self._numbers
        has_prior, n_runs = numbers[start : start + 2]
        sizes = numbers[start + 2 : start + 2 + n_runs]
        place = start + 2 + n_runs
        runs = []
        for size in sizes:
            runs.append(tuple(numbers[place : place + size]))
            place += size
        prefix, tail, divisors, *branches = runs
        prior = self._unpack(identifier, place) if has_prior else None
        return TokenTree(identifier, prefix, tuple(branches), tail, divisors, prior)

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[TokenTree]:
        return map(self._unpack, self._ids, self._starts)

    @overload
    def __getitem__(self, index: int) -> TokenTree: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenTree]: ...
    def __getitem__(self, index: int | slice) -> TokenTree | list[TokenTree]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._unpack(self._ids[index], self._starts[index])
