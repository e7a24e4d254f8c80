"""From token trees to features and option scores: planned, one unit after another, in memory.

A unit for which there is not enough memory is halved, and so are those after it that are as large.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thermometer import _checks
from thermometer.llm import forward, memory, planning
from thermometer.llm.planning import Unit
from thermometer.llm.runners import CausalRunner, DecoderRunner
from thermometer.llm.sharing import find_shared
from thermometer.llm.tokenization import TokenTree
from thermometer.llm.work import Work


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What a language model says about B prompts, in their order.

    Args:
        features: (B, D) float32 hidden states, or `None` if not asked for.
        scores: (B, K) float32 option log-likelihoods, ``-inf`` where a prompt has fewer than K
            options, or `None`.
        option_mass: (B,) float32: probability that the model gives to all options together, before
            any normalisation, or `None`.
    """

    features: NDArray[np.float32] | None
    scores: NDArray[np.float32] | None
    option_mass: NDArray[np.float32] | None


class Engine:
    """Computes token trees with one model.

    Args:
        runner: Runs the model.
        model: That which it runs; its device is asked for anew for each unit.

    `work` counts all that was computed, `most_tokens` is the size of unit that memory was found too
    small for, if any.
    """

    def __init__(self, runner: CausalRunner | DecoderRunner, model: Any) -> None:
        self._runner = runner
        self._model = model
        self.work = Work()
        self.most_tokens: int | None = None

    def plan(self, trees: Sequence[TokenTree], *, scores: bool, token_budget: int) -> list[Unit]:
        """Which trees are computed in one forward pass, and what they share.

        Those that share a prefix come first, then those whose branches need rows of their own, then
        the rest: apart, so that one long row does not split up short ones.
        """
        kinds: dict[str, list[int]] = {"shared": [], "split": [], "whole": []}
        sizes: list[tuple[int, int]] = []  # length and rows of each
        able: list[int] = []
        for i, tree in enumerate(trees):
            whole = not scores or self._runner.forks(tree)
            sizes.append((tree.n_read(scores), 1) if whole else (tree.depth, tree.n_rows))
            kinds["whole" if whole else "split"].append(i)
            if self._runner.caches(tree):
                able.append(i)
        found = find_shared(trees[i].prefix for i in able)
        joined = {i: place for place, i in enumerate(able) if found.group[place] >= 0}
        kinds["shared"] = list(joined)
        kinds["whole"] = [i for i in kinds["whole"] if i not in joined]
        units = []
        for kind, rows in kinds.items():
            lengths, heights = [sizes[i][0] for i in rows], [sizes[i][1] for i in rows]
            sharing = None
            if kind == "shared":
                sharing = found.of([joined[i] for i in rows])
                lengths = [n - past for n, past in zip(lengths, sharing.length, strict=True)]
            plan = planning.plan_units(lengths, token_budget, heights, sharing)
            units += [unit.of(rows) for unit in plan]
        return units

    def compute(
        self,
        trees: Sequence[TokenTree],
        units: Sequence[Unit] | None = None,
        *,
        features: bool,
        scores: bool,
        token_budget: int,
    ) -> Outputs:
        """Features and normalised scores of trees.

        Args:
            trees: At least one.
            units: Compute only these, of a plan that was made before; results are in their order.
                By default all trees are planned and computed, and results are in their order.
            features: Whether features are wanted.
            scores: Whether scores are.
            token_budget: For plans that are made here.

        Raises:
            ValueError: For trees without branches where scores are wanted, or scores that are not
                finite.
            MemoryError: If a single prompt does not fit.
        """
        given = units is not None
        if units is None:
            units = self.plan(trees, scores=scores, token_budget=token_budget)
        pieces = []
        todo = deque(units)
        while todo:
            unit = todo.popleft()
            if self._too_large(unit):
                todo.extendleft(reversed(unit.halves()))
                continue
            piece = self._try(trees, unit, features, scores)
            if piece is None:
                todo.appendleft(self._give_way(trees, unit))
            else:
                pieces.append(piece)
        self._runner.forget()
        rows = planning.rows_of(units)
        result = _joined(pieces, None if given else np.argsort(rows))
        if result.scores is not None:
            chosen = [trees[i] for i in rows] if given else trees
            self._normalise(result.scores, chosen, token_budget)
        return result

    def _too_large(self, unit: Unit) -> bool:
        return self.most_tokens is not None and len(unit) > 1 and unit.tokens >= self.most_tokens

    def _try(
        self, trees: Sequence[TokenTree], unit: Unit, features: bool, scores: bool
    ) -> Outputs | None:
        """The outputs of a unit; `None` if memory ran out."""
        chosen = [trees[i] for i in unit.rows]
        prefixes = [trees[i].prefix[:size] for i, size in unit.prefixes]
        try:
            return self._forward(chosen, features, scores, unit.shared, prefixes)
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
        return None  # not inside `except`, where the error holds on to the tensors of its frames

    def _give_way(self, trees: Sequence[TokenTree], unit: Unit) -> Unit:
        """What to try after a unit for which there was not enough memory."""
        self._runner.forget()
        memory.give_back(self._model.device)
        if len(unit) > 1:
            self.most_tokens = unit.tokens
            return unit  # to be halved, as it is too large now
        tree = trees[unit.rows[0]]
        if unit.prefixes:
            return Unit(unit.rows, tokens=tree.n_tokens)
        raise MemoryError(
            f"Not enough memory on {self._model.device} for the {tree.n_tokens} tokens of "
            f"question {tree.id} alone"
        )

    def _normalise(
        self, scores: NDArray[np.float32], trees: Sequence[TokenTree], token_budget: int
    ) -> None:
        """Subtract the likelihoods of the bare options and divide by lengths, where asked for."""
        priors = [tree.prior for tree in trees if tree.prior is not None]
        if priors:
            prior = self.compute(
                priors, features=False, scores=True, token_budget=token_budget
            ).scores
            known = np.isfinite(scores)
            scores[known] -= prior[known]  # type: ignore[index]
        for row, tree in enumerate(trees):
            scores[row, : len(tree.divisors)] /= tree.divisors

    @torch.inference_mode()
    def _forward(
        self,
        trees: Sequence[TokenTree],
        features: bool,
        scores: bool,
        shared: Sequence[int],
        prefixes: Sequence[tuple[int, ...]],
    ) -> Outputs:
        """One forward pass over a padded batch of token trees; raw log-likelihoods as scores."""
        for tree in trees if scores else ():
            if not tree.branches:
                raise _checks.fail("options", "given where scores are wanted", tree.id)
        reading = self._runner.run(
            trees, features=features, scores=scores, shared=shared, prefixes=prefixes
        )
        hidden, logprobs = reading.hidden, reading.logprobs
        states = hidden.float().cpu().numpy() if hidden is not None else None
        self.work += reading.work
        if logprobs is None:
            return Outputs(states, None, None)
        if (bad := ~logprobs.isfinite()).any():
            row = int(reading.owners.to(bad.device)[bad][0, 0])
            raise _checks.fail("scores", "finite", f"NaN or infinity for question {trees[row].id}")
        n_options = max(len(tree.branches) for tree in trees)
        table = forward.sum_by_option(logprobs, reading.owners, len(trees), n_options)
        mass = table.logsumexp(dim=1).exp()
        return Outputs(states, table.cpu().numpy(), mass.cpu().numpy())


def _joined(pieces: Sequence[Outputs], order: NDArray[np.int64] | None) -> Outputs:
    """The outputs of units one after another, or in another order."""
    width = max((p.scores.shape[1] for p in pieces if p.scores is not None), default=0)

    def joined(arrays: list[Any]) -> Any:
        if arrays[0] is None:
            return None
        whole = np.concatenate(arrays)
        return whole if order is None else whole[order]

    def widened(scores: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        if scores is None:
            return None
        return np.pad(scores, ((0, 0), (0, width - scores.shape[1])), constant_values=-np.inf)

    return Outputs(
        joined([piece.features for piece in pieces]),
        joined([widened(piece.scores) for piece in pieces]),
        joined([piece.option_mass for piece in pieces]),
    )
