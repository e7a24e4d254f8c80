"""Probabilities of options from the log-probabilities that an API returns, with bounds."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple
from warnings import warn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.adapters.api_formats import (
    SPELLINGS,
    Decode,
    NoAnswerError,
    Position,
    model_of,
    opened,
    prompt_tokens,
    reply_positions,
    weights,
)
from thermometer.calibrator import Calibrator, Prompts
from thermometer.posterior import Per
from thermometer.tables import OutputTable
from thermometer.types import WITHOUT_UNSEEN, Calibration, Task, plain_options

Merge = Literal["spelling", "exact"]
Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
_BEFORE = " \t\r\n\"'`*_([{<#▁Ġ\u00a0\u201c\u2018"
_BEHIND = " \t\r\n\"'`*_)]}>.,:;!?\u00a0\u201d\u2019"
_GOES_ON = re.compile(r"\w|[.,]\d")  # so "A." is A, but "Apple" is not, and 1.5 is not 1


class Match(NamedTuple):
    """What a text can still be.

    Args:
        done: Index of the option that it is, or `None`.
        open: (K,) bool, the options that it is only the beginning of.
    """

    done: int | None
    open: NDArray[np.bool_]

    @property
    def able(self) -> NDArray[np.bool_]:
        """(K,) the options that the text is or may become."""
        able = self.open.copy()
        if self.done is not None:
            able[self.done] = True
        return able


class OptionTexts:
    """Options and the rule by which differently written texts count as one of them.

    By `spelling`, blanks, quotes, brackets and stars before a text, the case of its letters and how
    Unicode composes them do not count, and an option ends where no letter or digit follows: " A",
    "a", "**A**", "(A)" and "A." are A, "Apple" is not. By `exact`, every byte counts.

    Args:
        options: At least two.
        merge: The rule.

    Raises:
        ValueError: If two options are alike under the rule, or one has nothing left.

    Example:
        >>> texts = OptionTexts(["yes", "no", "not sure"])
        >>> texts.match(b" Yes."), texts.match(b" no").done
        (Match(done=0, open=array([False, False, False])), 1)
        >>> texts.match(b" no").open.tolist(), texts.match(b"maybe").done
        ([False, False, True], None)
    """

    def __init__(self, options: Sequence[str], merge: Merge = "spelling") -> None:
        self.options = _checks.strings("options", options)
        self.merge = _checks.one_of("merge", merge, ("spelling", "exact"))
        if len(self.options) < 2:
            raise _checks.fail("options", "at least two texts", len(self.options))
        exact = merge == "exact"
        ends = (option if exact else option.rstrip(_BEHIND) for option in self.options)
        self._forms = [self._form(option.encode()) for option in ends]
        for i, form in enumerate(self._forms):
            if not form:
                raise _checks.fail("options", "texts with letters or digits", repr(self.options[i]))
            if form in self._forms[:i]:
                got = f"{self.options[self._forms.index(form)]!r} and {self.options[i]!r}"
                raise _checks.fail("options", f"different texts (merge={merge!r})", got)

    def __len__(self) -> int:
        return len(self.options)

    def match(self, text: bytes) -> Match:
        """What the text is, or may become."""
        form = self._form(text)
        size = len(form)
        open_ = np.array([len(o) > size and o.startswith(form) for o in self._forms])
        whole = [i for i, option in enumerate(self._forms) if self._is(form, option)]
        return Match(max(whole, key=lambda i: len(self._forms[i]), default=None), open_)

    def _is(self, form: bytes, option: bytes) -> bool:
        if not form.startswith(option):
            return False
        rest = form[len(option) :]
        if self.merge == "exact":
            return not rest
        return not _GOES_ON.match(rest.decode("utf-8", "surrogateescape"))

    def _form(self, text: bytes) -> bytes:
        if self.merge == "exact":
            return text
        plain = text.decode("utf-8", "surrogateescape").translate(WITHOUT_UNSEEN).lstrip(_BEFORE)
        composed = unicodedata.normalize("NFC", plain.casefold())
        return composed.encode("utf-8", "surrogateescape")


class Masses:
    """Probability that goes to each of K options, as far as a reply tells.

    Every piece of it is booked to an option, to several that it may belong to, or to none.

    Attributes:
        decided: (K,) of texts that are the option.
        possible: (K,) what the option may get at most of that which is open.
        others: (K,) what all other options together may get at most of that which is open.
        open: All that is open.
    """

    def __init__(self, n_options: int) -> None:
        self.decided, self.possible, self.others = np.zeros((3, n_options))
        self.open = 0.0
        self._shared, self._guessed = np.zeros((2, n_options))

    @property
    def likely(self) -> Vector:
        """(K,) one way to share out what is open; > 0."""
        known = self.decided + self._shared
        return np.where(known > 0, known, np.maximum(self._guessed, 1e-30))

    @property
    def low(self) -> Vector:
        """(K,) least probability among the options that the open part allows."""
        return _ratio(self.decided, self.decided.sum() + self.others, 0.0)

    @property
    def high(self) -> Vector:
        """(K,) greatest probability among the options that the open part allows."""
        total = self.decided.sum() + self.possible
        return _ratio(self.decided + self.possible, total, 1.0)

    def text(self, mass: float, match: Match) -> None:
        """Book the mass of a text that is, or may become, an option."""
        if not match.open.any():
            if match.done is not None:
                self.decided[match.done] += mass
            return
        able = match.able
        self._open(mass, mass, able)
        if match.done is not None:
            self._shared[match.done] += mass
        else:
            self._shared[able] += mass / able.sum()

    def unseen(self, mass: float, spelled: float, ceiling: float, able: NDArray[np.bool_]) -> None:
        """Book the mass of tokens that the server did not list."""
        self._open(mass, spelled, able)
        guess = min(ceiling, mass / able.sum())
        self._guessed[able] = np.maximum(self._guessed[able], guess)

    def _open(self, mass: float, each: float, able: NDArray[np.bool_]) -> None:
        self.open += mass
        self.possible[able] += min(mass, each)
        self.others += np.minimum(mass, each * (able.sum() - able))


def _ratio(part: Vector, total: Vector, otherwise: float) -> Vector:
    full = np.full(len(total), otherwise)
    return np.asarray(np.divide(part, total, out=full, where=total > 0), np.float64)


def walk(
    positions: Sequence[Position],
    options: OptionTexts,
    *,
    temperature: float = 1.0,
    spellings: int = SPELLINGS,
) -> Masses:
    """Mass of each option in the tokens of a reply, from where the answer begins.

    At the first position every listed token counts for the option that it is. A token that is
    only the beginning of options ("North" of North Korea and North Macedonia, or a blank) is open,
    unless it is the one that was chosen: then its probability is shared out by what the server
    lists at the next position, and so on. Tokens that are not listed are open for all options that
    the text so far allows.

    Of what is open, `likely` gives a beginning to the option that it already is, else to all that
    it can become alike; and to an option that no listed token begins, the probability of the least
    likely listed token, if so much is left: nobody knows it, but it is not 0.

    Example:
        >>> from thermometer.adapters.api_formats import position
        >>> listed = [(b"A", -0.1, None), (b" A", -3.0, None), (b"B", -4.0, None)]
        >>> masses = walk([position(b"A", -0.1, listed)], OptionTexts(["A", "B", "C"]))
        >>> masses.decided.round(3).tolist(), masses.likely.round(3).tolist()
        ([0.955, 0.018, 0.0], [0.955, 0.018, 0.009])
    """
    masses = Masses(len(options))
    reach, text = 1.0, b""
    for number, at in enumerate(positions, start=1):
        shares = weights(at, temperature, spellings)
        followed: float | None = None
        for candidate, share in zip(at.candidates, shares.candidates, strict=True):
            match = options.match(text + candidate.token)
            is_next = candidate.token == at.token and followed is None
            if is_next and match.open.any() and number < len(positions):
                followed = reach * float(share)
            else:
                masses.text(reach * float(share), match)
        # At another temperature the norm itself is a bound, which only the first position cancels.
        spelled = shares.spelled if temperature == 1 or number == 1 else shares.unseen
        able = options.match(text).able
        masses.unseen(reach * shares.unseen, reach * spelled, reach * shares.ceiling, able)
        if followed is None:
            break
        reach, text = followed, text + at.token
    return masses


_SHOWN = 5  # rows that a warning names
WIDE = 0.1
"""An interval of the answer's probability that is wider than this is warned of."""
LITTLE = 0.5
"""So is less than this probability on all options together."""


@dataclass(frozen=True, eq=False)
class OptionProbabilities:
    """What responses tell of each option, among the options and in all.

    Args:
        probs: (N, K) float64, one way to share out what the server did not list; rows sum to one,
            0 only beyond the options of a row.
        low: (N, K) the least that each may be, whatever was not listed.
        high: (N, K) the most that it may be.
        scores: (N, K) log of `probs` before they were made to sum to one: log-probabilities of the
            options, ``-inf`` on the right of short rows. What a calibrator reads.
        mass: (N,) probability of all options together, of all that the model might say.
        residual: (N,) probability of which nobody knows to which option it belongs, if to any.
        warnings: What to know before trusting them; rows are numbered from 0.
        skipped: Why, by row, for responses that hold no answer; their numbers are NaN.
        model: Name of the model that answered, if all responses that say it agree.
    """

    probs: Matrix
    low: Matrix
    high: Matrix
    scores: Matrix
    mass: NDArray[np.float64]
    residual: NDArray[np.float64]
    warnings: tuple[str, ...] = ()
    skipped: Mapping[int, str] = field(default_factory=dict)
    model: str | None = None

    def __len__(self) -> int:
        return len(self.probs)


def option_probabilities(
    responses: Sequence[Any],
    options: Sequence[str] | Sequence[Sequence[str]],
    *,
    after: str | None = None,
    merge: Merge = "spelling",
    temperature: float = 1.0,
    ranked: bool = True,
    spellings: int = SPELLINGS,
    decode: Decode | None = None,
    strict: bool = False,
) -> OptionProbabilities:
    """Probability of each option, with bounds, from responses to one prompt each.

    Tokens that spell the same option are added up. Where options begin alike, or with a token that
    is only their beginning, the reply is followed over several tokens. What the server does not
    list makes an interval, see `walk`; an option that is nowhere listed has a small
    probability, not none.

    Args:
        responses: N of them, as `reply_positions` takes them. Of several replies in one
            response the first is read.
        options: Texts that the model was asked to choose among (letters, if it was asked for
            letters): the same K for all rows, or one sequence per row.
        after: Text in the reply behind which the answer begins ("Answer:"); where it stands more
            than once, the last counts. The probabilities then hold given the text before it. By
            default the reply begins with the answer.
        merge: How differently written tokens become one option, see `OptionTexts`.
        temperature: By which the server divided the logits before it took log-probabilities. 1 for
            OpenAI, vLLM and llama.cpp, whatever temperature they sample at, unless told otherwise
            (`processed_logprobs`, `post_sampling_probs`).
        ranked: False if the request named the tokens, as vLLM's `logprob_token_ids` does.
        spellings: Number of unlisted tokens that may spell, or begin, one option; some 30 will do
            where replies never begin with blanks or brackets, and make bounds narrower.
        decode: From token id to text, for servers that were told to name tokens by ids.
        strict: Raise at the first response that holds no answer: an error of the server, one that
            expired, a refusal, one without log-probabilities or without `after`. By default such
            rows are NaN, and `skipped` says why.

    Raises:
        TypeError: If `responses` is one response.
        ValueError: For no responses, options that are alike, or if no response holds an answer; the
            message names the response and what to do.

    Example:
        >>> listed = [{"token": " Yes", "logprob": -0.3}, {"token": "no", "logprob": -1.6}]
        >>> content = [{"token": " Yes", "logprob": -0.3, "top_logprobs": listed}]
        >>> response = {"choices": [{"message": {}, "logprobs": {"content": content}}]}
        >>> found = option_probabilities([response], ["yes", "no", "unknown"])
        >>> found.probs.round(3).tolist(), found.high.round(3).tolist()
        ([[0.77, 0.21, 0.02]], [[0.798, 0.259, 0.057]])
    """
    if isinstance(responses, str | bytes) or not isinstance(responses, Sequence):
        got = f"{type(responses).__name__}. For a single one pass [responses]"
        raise TypeError(f"Expected `responses` to be a list of responses, but got {got}")
    if not responses:
        raise _checks.fail("responses", "at least one response", "none")
    temperature = _checks.number("temperature", temperature, strict=True)
    spellings = _checks.integer("spellings", spellings)
    texts = _texts(options, len(responses), merge)
    masses, off = [], []
    errors: dict[int, str] = {}
    models: set[str | None] = set()
    for row, (response, own) in enumerate(zip(responses, texts, strict=True)):
        try:
            body = opened(response)
            positions = reply_positions(body, ranked=ranked, decode=decode)
            positions = positions if after is None else behind(positions, after)
            found = walk(positions, own, temperature=temperature, spellings=spellings)
        except NoAnswerError as error:
            if strict:
                raise ValueError(f"Response {row}: {error}") from error
            errors[row] = f"Response {row}: {error}"
            masses.append(Masses(len(own)))
            continue
        except (TypeError, ValueError) as error:
            raise type(error)(f"Response {row}: {error}") from error
        except (AttributeError, LookupError, OverflowError) as error:
            what = f"{type(error).__name__}: {error}"
            raise ValueError(f"Response {row}: of no known format ({what})") from error
        models.add(model_of(body))
        masses.append(found)
        reply = b"".join(at.token for at in positions)
        if own.match(reply).done is None:
            off.append(row)
    if len(errors) == len(masses):
        raise ValueError(errors[0])
    return _gathered(masses, off, errors, sorted(name for name in models if name))


_OTHER = b"\xff"  # is not UTF-8, and so no beginning of an option


def behind(positions: list[Position], after: str) -> list[Position]:
    """The positions behind the last `after` in the reply, which must not end with it.

    A token that holds its end and more (":A" behind "answer:") is cut there, and so are those that
    could have come in its place; what does not begin like it is no option.
    """
    begins = np.cumsum([0, *(len(at.token) for at in positions)])
    reply = b"".join(at.token for at in positions)
    found = reply.rfind(after.encode())
    end = found + len(after.encode())
    first = int(np.searchsorted(begins, end, side="right")) - 1
    if first < len(positions) and begins[first] < end:
        rest = positions[first].token[end - begins[first] :].decode(errors="ignore")
        if not rest.strip(_BEFORE + _BEHIND):  # "is:" behind "is": the answer is in the next
            first, end = first + 1, begins[first + 1]
    if found < 0 or first >= len(positions):
        shown = reply.decode(errors="replace")
        raise NoAnswerError("a text in the reply before its answer", f"{shown[-60:]!r}", "after")
    at, behind_it = positions[first], positions[first + 1 :]
    beginning = at.token[: end - begins[first]]

    def cut(token: bytes) -> bytes:
        return token.removeprefix(beginning) if token.startswith(beginning) else _OTHER

    candidates = tuple(each._replace(token=cut(each.token)) for each in at.candidates)
    return [replace(at, token=cut(at.token), candidates=candidates), *behind_it]


def _texts(
    options: Sequence[str] | Sequence[Sequence[str]], n: int, merge: Merge
) -> list[OptionTexts]:
    if isinstance(options, str):
        raise TypeError(f"Expected `options` to be a list of strings, but got {options!r}")
    if all(isinstance(option, str) for option in options):
        return [OptionTexts(options, merge)] * n  # type: ignore[arg-type]
    if len(options) != n:
        raise _checks.fail("options", f"of length {n} (as `responses`)", len(options))
    return [OptionTexts(own, merge) for own in options]


def _gathered(
    masses: list[Masses], off: list[int], errors: Mapping[int, str], models: Sequence[str]
) -> OptionProbabilities:
    skipped = np.isin(np.arange(len(masses)), list(errors))
    width = max(len(found.likely) for found in masses)

    def padded(name: str) -> Matrix:
        rows = [getattr(found, name) for found in masses]
        return np.stack([np.pad(row, (0, width - len(row))) for row in rows])

    low, high, likely = padded("low"), padded("high"), padded("likely")
    mass = likely.sum(axis=1)
    probs = likely / mass[:, None]
    with np.errstate(divide="ignore"):
        scores = np.log(likely)
    answer = probs.argmax(axis=1)
    each = np.arange(len(masses))
    width_of_answer = (high - low)[each, answer]
    rival = high.copy()
    rival[each, answer] = -np.inf
    flags = {
        "the reply is not one of the options": np.isin(each, off),
        "another option may be the likeliest": rival.max(axis=1) > low[each, answer],
        f"the answer's probability is known no better than to {WIDE}": width_of_answer > WIDE,
        f"all options together have a probability below {LITTLE}": mass < LITTLE,
    }
    answered = {what: flag & ~skipped for what, flag in flags.items()}
    warnings = []
    for what, flag in {"no answer, left out": skipped, **answered}.items():
        if flag.any():
            rows = np.flatnonzero(flag).tolist()
            count = f"{len(rows)} of {len(masses)}"
            warnings.append(f"{what} in {count} responses ({_listed(rows)})")
    warnings += list(errors.values())[:_SHOWN]
    if len(models) > 1:
        warnings.append(f"the responses are of several models: {', '.join(models[:_SHOWN])}")
    residual = np.array([found.open for found in masses])
    for of_rows in (probs, low, high, scores, mass, residual):
        of_rows[skipped] = np.nan
    numbers = (probs, low, high, scores, mass, residual)
    model = models[0] if len(models) == 1 else None
    return OptionProbabilities(*numbers, tuple(warnings), errors, model)


def continuation_logprob(response: Any, prompt: str, continuation: str) -> float:
    """Log-likelihood of a text behind a prompt.

    Args:
        response: To the request for `prompt` and `continuation` in one string: of a completions
            route with ``echo=True, logprobs=1``, or of vLLM with ``prompt_logprobs=1``.
        prompt: What the continuation follows.
        continuation: With its leading blank, if it has one.

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
        expected = f"what the prompt ends with ({shown!r})"
        raise _checks.fail("continuation", expected, repr(continuation))
    if echoed is None:
        read, asked = (re.sub(r"[\s▁]+", "", t) for t in (spelled.decode(errors="replace"), sent))
        # Servers decode a part of a character as U+FFFD, and do not tell the first token.
        if "\ufffd" not in read and not (read.endswith(asked) or asked.endswith(read)):
            raise _checks.fail("prompt", f"that of the response ({read[-60:]!r})", repr(sent[-60:]))
    bounds = (len(spelled) - len(continuation.encode()), len(spelled))
    begins = np.cumsum([0, *map(len, texts)])
    first, last = (int(np.searchsorted(begins, bound)) for bound in bounds)
    if begins[first] != bounds[0] or begins[last] != bounds[1]:
        expected = "made of whole tokens (a blank in between belongs to the continuation)"
        raise _checks.fail("continuation", expected, repr(continuation))
    own = [logprob for _, logprob in tokens[first:last] if logprob is not None]
    if len(own) < last - first:
        expected = "with the log-probability of every token of `continuation`"
        raise _checks.fail("response", expected, "some only")
    return float(sum(own))


def continuation_scores(
    responses: Sequence[Sequence[Any]],
    prompts: Sequence[str],
    options: Sequence[str] | Sequence[Sequence[str]],
    *,
    strict: bool = False,
) -> NDArray[np.float64]:
    """Scores of options, one response for each.

    Args:
        responses: N sequences, one response for each option, as for `continuation_logprob`.
        prompts: N, without the options.
        options: As they stood behind the prompts: the same K for all rows, or one sequence per row.
            Where one begins another, its score holds the longer one's, and a warning says so.
        strict: Raise at the first response that holds no answer. By default its row is NaN, and a
            warning names it.

    Returns:
        (N, K) float64 log-likelihoods, ``-inf`` on the right of short rows.

    Raises:
        ValueError: As `continuation_logprob`, naming the row; if lengths do not fit, options of a
            row are alike, or their probabilities sum to more than 1; or if no row has an answer.
    """
    prompts = _checks.strings("prompts", prompts)
    if all(isinstance(option, str) for option in options):
        options = [_checks.strings("options", options)] * len(responses)  # type: ignore[arg-type]
    sizes = {"responses": len(responses), "prompts": len(prompts), "options": len(options)}
    if len(set(sizes.values())) > 1 or not prompts:
        raise _checks.fail("responses, prompts and options", "of one length, not 0", sizes)
    width = max(map(len, options))
    scores = np.full((len(responses), width), -np.inf)
    failed: dict[int, str] = {}
    begun = []
    for row, (each, own) in enumerate(zip(responses, options, strict=True)):
        if len(each) != len(own):
            raise _checks.fail("responses", f"{len(own)} in row {row}, as options", len(each))
        plain_options(own, f"row {row}")
        begun += [row] if _checks.extensions(own) else []
        for column, (response, option) in enumerate(zip(each, own, strict=True)):
            where = f"Response {row}, option {column}"
            try:
                scores[row, column] = continuation_logprob(response, prompts[row], option)
            except NoAnswerError as error:
                if strict:
                    raise ValueError(f"{where}: {error}") from error
                failed.setdefault(row, f"{where}: {error}")
            except (TypeError, ValueError) as error:
                raise type(error)(f"{where}: {error}") from error
        if row not in failed:
            _checks.mass(own, scores[row, : len(own)].tolist(), f" in row {row}")
    if len(failed) == len(scores):
        raise ValueError(failed[0])
    if begun:
        said = f"an option begins another one, whose score its own may hold: {_listed(begun)}"
        warn(said, stacklevel=2)
    if failed:
        first = next(iter(failed.values()))
        warn(f"no answer, NaN: {_listed(list(failed))}. {first}", stacklevel=2)
        scores[list(failed)] = np.nan
    return scores


def _listed(rows: Sequence[int]) -> str:
    """Rows as a warning names them."""
    shown = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
    return f"rows from 0: {shown}"


def calibrate_responses(
    calibrator: Calibrator,
    responses: Sequence[Any],
    options: Sequence[str] | Sequence[Sequence[str]],
    prompts: Prompts | None = None,
    *,
    reference_scores: ArrayLike | None = None,
    per: Per = "sample",
    **reading: Any,
) -> Calibration:
    """Calibrated probabilities from the responses of a black-box model's server.

    Args:
        calibrator: Trained for scores of the model that responded.
        responses: N of them, with log-probabilities: objects of a client, dicts or JSON text.
        options: Texts that the model chose among; for each row its own, or the same for all.
        prompts: As for `Calibrator.calibrate`, if the thermometer reads features or reference
            scores.
        reference_scores: As for `Calibrator.calibrate`; say, `option_probabilities(...).scores`.
        per: As for `Calibrator.calibrate`.
        **reading: See `option_probabilities`, which has raw probabilities and bounds.

    Returns:
        As `Calibrator.calibrate`, with warnings of responses that say too little, and of another
        model than the training's. Responses without an answer are left out: `ids` says which rows
        there are, by default by their number from 1.

    Raises:
        ValueError: As `Calibrator.calibrate`, and as `option_probabilities`.

    Example:
        >>> from thermometer.checkpoint import TrainingRecord
        >>> from thermometer.network import Thermometer, ThermometerConfig
        >>> network = Thermometer(ThermometerConfig.scores_only())
        >>> calibrator = Calibrator(network, TrainingRecord(["law"], 1.0))
        >>> listed = [{"token": "A", "logprob": -0.3}, {"token": "B", "logprob": -1.6}]
        >>> content = [{"token": "A", "logprob": -0.3, "top_logprobs": listed}]
        >>> response = {"choices": [{"message": {}, "logprobs": {"content": content}}]}
        >>> calibrate_responses(calibrator, [response], ["A", "B"]).prediction.tolist()
        [0]
    """
    found = option_probabilities(responses, options, **reading)
    known = ~np.isnan(found.mass)
    if reference_scores is not None:
        reference_scores = _checks.array("reference_scores", reference_scores, np.float64)
        if len(reference_scores) != len(known):
            expected = f"of length {len(known)} (as `responses`)"
            raise _checks.fail("reference_scores", expected, len(reference_scores))
        known &= ~np.isnan(reference_scores).all(axis=-1)  # the other model gave no answer
        reference_scores = reference_scores[known]
    rows, warnings = np.flatnonzero(known).tolist(), found.warnings
    if gone := sorted(set(range(len(known))) - {*rows, *found.skipped}):
        warnings = (*warnings, f"no reference scores, left out ({_listed(gone)})")
    if prompts is not None and len(rows) < len(known):
        prompts = _rows_of(prompts, rows, len(known))
    result = calibrator.calibrate(
        prompts,
        found.scores[rows],
        reference_scores=reference_scores,
        per=per,
        answered_by={"model": found.model} if found.model else None,
    )
    ids = result.ids
    if not isinstance(prompts, OutputTable | Task):
        ids = tuple(f"{'row' if prompts is None else 'prompt'} {row + 1}" for row in rows)
    return replace(result, ids=ids, warnings=(*result.warnings, *warnings))


def _rows_of(prompts: Prompts, rows: Sequence[int], n: int) -> Prompts:
    """Some of n prompts."""
    if not isinstance(prompts, OutputTable | Task):
        prompts = _checks.strings("prompts", prompts)
    if len(prompts) != n:
        raise _checks.fail("prompts", f"of length {n} (as `responses`)", len(prompts))
    if isinstance(prompts, OutputTable):
        return prompts.select(rows)
    if isinstance(prompts, Task):
        return replace(prompts, questions=tuple(prompts.questions[row] for row in rows))
    return [prompts[row] for row in rows]
