"""A language model small enough to sum over all it can say, behind a server that tells little.

The reference for bounds of option probabilities: it knows tokens and regular expressions only.
"""

import re

import numpy as np

END = "<end>"
TOKENS = ["a", " A", "b", "n", "no", "ne", "o", " ", ".", "x", END]
OPTIONS = ["A", "b", "no", "None"]


class ToyModel:
    """Next-token probabilities that depend on the text so far, and on nothing else."""

    def __init__(self, seed, spread=2.0, depth=3):
        self.seed, self.spread, self.depth = seed, spread, depth

    def logits(self, text):
        key = [self.seed, *text.encode()]
        return np.random.default_rng(key).normal(0, self.spread, len(TOKENS))

    def logprobs(self, text, temperature=1.0):
        logits = self.logits(text) / temperature
        return logits - np.logaddexp.reduce(logits)

    def masses(self, text="", depth=0):
        """(K,) probability that the reply is each option, by summing over all replies."""
        done = [o for o in OPTIONS if re.match(rf" *{o}(?!\w)", text, re.IGNORECASE)]
        plain = text.strip(" ").lower()
        is_open = any(o.lower() != plain and o.lower().startswith(plain) for o in OPTIONS)
        if not is_open or depth == self.depth:
            return np.array([float(done == [option]) for option in OPTIONS])
        each = [
            probability * self.masses(text + token, self.depth if token == END else depth + 1)
            for token, probability in zip(TOKENS, np.exp(self.logprobs(text)), strict=True)
        ]
        return np.sum(each, axis=0)

    def response(self, seed, top, temperature=1.0):
        """A reply as chat completions give it, sampled, with the `top` likeliest tokens."""
        rng = np.random.default_rng(seed)
        text, content = "", []
        for _ in range(self.depth):
            logprobs = self.logprobs(text, temperature)
            order = np.argsort(-logprobs)[:top]
            chosen = int(rng.choice(len(TOKENS), p=np.exp(logprobs)))
            listed = [{"token": TOKENS[i], "logprob": float(logprobs[i])} for i in order]
            own = {"token": TOKENS[chosen], "logprob": float(logprobs[chosen])}
            content.append({**own, "top_logprobs": listed})
            if TOKENS[chosen] == END:
                break
            text += TOKENS[chosen]
        return {"choices": [{"message": {}, "logprobs": {"content": content}}]}
