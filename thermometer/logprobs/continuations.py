"""Scores of whole options from servers that give log-probabilities of the prompt's own tokens.

The prompt and an option are sent together, once for each option; what is read is how likely the
option's tokens are. So options of several tokens need no interval. Few servers offer it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer.logprobs.formats import prompt_tokens


def continuation_logprob(response: Any, prompt: str, continuation: str) -> float:
    """Log-likelihood of a text behind a prompt.

    Args:
        response: To the request for `prompt` and `continuation` in one string: of a completions
            route with ``echo=True, logprobs=1``, or of vLLM with ``prompt_logprobs=1``.
        prompt: What the continuation follows.
        continuation: With its leading blank, if it has one.

    Returns:
        The sum of the log-probabilities of its tokens.

    Raises:
        ValueError: If the response has none, or of another prompt; if no token begins where the
            continuation begins; or if one of its tokens has no log-probability.

    Example:
        >>> tokens = {"tokens": ["Sky", ":", " blue"], "token_logprobs": [None, -2.0, -0.5]}
        >>> echoed = {"choices": [{"text": "Sky: blue", "logprobs": tokens}]}
        >>> continuation_logprob(echoed, "Sky:", " blue")
        -0.5
    """
    if not continuation:
        raise _checks.fail("continuation", "a text", "an empty one")
    tokens, echoed = prompt_tokens(response)
    texts = [text or b"" for text, _ in tokens]
    spelled, sent = b"".join(texts), prompt + continuation
    if echoed is not None:
        if not echoed.startswith(sent):
            raise _checks.fail("prompt", f"that of the response ({echoed[:60]!r})", repr(sent[:60]))
        spelled = spelled.removesuffix(echoed.removeprefix(sent).encode())
    if not spelled.endswith(continuation.encode()):
        shown = spelled[-60:].decode(errors="replace")
        raise _checks.fail(
            "continuation", f"what the prompt ends with ({shown!r})", repr(continuation)
        )
    bounds = (len(spelled) - len(continuation.encode()), len(spelled))
    begins = np.cumsum([0, *map(len, texts)])
    first, last = (int(np.searchsorted(begins, bound)) for bound in bounds)
    if begins[first] != bounds[0] or begins[last] != bounds[1]:
        raise _checks.fail(
            "continuation",
            "made of whole tokens (a blank in between belongs to the continuation)",
            repr(continuation),
        )
    own = [logprob for _, logprob in tokens[first:last] if logprob is not None]
    if len(own) < last - first:
        raise _checks.fail(
            "response", "with the log-probability of every token of `continuation`", "some only"
        )
    return float(sum(own))


def continuation_scores(
    responses: Sequence[Sequence[Any]],
    prompts: Sequence[str],
    options: Sequence[str] | Sequence[Sequence[str]],
) -> NDArray[np.float64]:
    """Scores of options, one response for each.

    Args:
        responses: N sequences, one response for each option, as for `continuation_logprob`.
        prompts: N, without the options.
        options: As they stood behind the prompts: the same K for all rows, or one sequence per row.

    Returns:
        (N, K) float64 log-likelihoods, ``-inf`` on the right of short rows.

    Raises:
        ValueError: As `continuation_logprob`, naming the row, or if lengths do not fit.
    """
    prompts = _checks.strings("prompts", prompts)
    if all(isinstance(option, str) for option in options):
        options = [_checks.strings("options", options)] * len(responses)  # type: ignore[arg-type]
    sizes = {"responses": len(responses), "prompts": len(prompts), "options": len(options)}
    if len(set(sizes.values())) > 1 or not prompts:
        raise _checks.fail("responses, prompts and options", "of one length, not 0", sizes)
    width = max(map(len, options))
    scores = np.full((len(responses), width), -np.inf)
    for row, (each, own) in enumerate(zip(responses, options, strict=True)):
        if len(each) != len(own):
            raise _checks.fail("responses", f"{len(own)} in row {row}, as options", len(each))
        for column, (response, option) in enumerate(zip(each, own, strict=True)):
            try:
                scores[row, column] = continuation_logprob(response, prompts[row], option)
            except (TypeError, ValueError) as error:
                raise type(error)(f"Response {row}, option {column}: {error}") from error
    return scores
