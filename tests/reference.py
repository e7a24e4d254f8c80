"""The formulas once more, as literal float64 loops: what the package's fast code must equal.

Written from the publications, sharing no code with `thermometer`, and slow on purpose.
"""

import math


def nll(probs, labels):
    return sum(-math.log(row[label]) for row, label in zip(probs, labels, strict=True)) / len(probs)


def brier(probs, labels):
    total = 0.0
    for row, label in zip(probs, labels, strict=True):
        for option, p in enumerate(row):
            total += (p - (1.0 if option == label else 0.0)) ** 2
    return total / len(probs)


def binary_nll(confidence, correct):
    total = 0.0
    for c, y in zip(confidence, correct, strict=True):
        total -= math.log(max(c if y else 1 - c, 2.2250738585072014e-308))
    return total / len(confidence)


def binary_brier(confidence, correct):
    return sum((c - y) ** 2 for c, y in zip(confidence, correct, strict=True)) / len(confidence)


def ece(confidence, correct, n_bins):
    """Bins (lo, hi] with edges k / n_bins; the first one also holds 0."""
    total = 0.0
    for b in range(n_bins):
        rows = [
            i
            for i, c in enumerate(confidence)
            if b / n_bins < c <= (b + 1) / n_bins or (b == 0 and c == 0)
        ]
        if rows:
            mean_confidence = math.fsum(confidence[i] for i in rows) / len(rows)
            mean_accuracy = sum(correct[i] for i in rows) / len(rows)
            total += len(rows) / len(confidence) * abs(mean_accuracy - mean_confidence)
    return total


def gaps(confidence, correct, bins):
    """(rows, mean confidence, accuracy) of every bin that has rows."""
    for b in set(bins):
        rows = [i for i, own in enumerate(bins) if own == b]
        mean_confidence = math.fsum(confidence[i] for i in rows) / len(rows)
        yield len(rows), mean_confidence, sum(correct[i] for i in rows) / len(rows)


def mass_bins(confidence, n_bins):
    """A row's bin by the middle of the ranks of its equals, in whole numbers."""
    n = len(confidence)
    bins = []
    for c in confidence:
        below = sum(other < c for other in confidence)
        equal = sum(other == c for other in confidence)
        bins.append(
            next(b for b in range(n_bins) if n_bins * (2 * below + equal) < 2 * n * (b + 1))
        )
    return bins


def width_bins(confidence, n_bins):
    return [next(b for b in range(n_bins) if c <= (b + 1) / n_bins) for c in confidence]


def ece_of_bins(confidence, correct, bins, norm):
    n, found = len(confidence), list(gaps(confidence, correct, bins))
    if norm == "max":
        return max(abs(a - c) for _, c, a in found)
    if norm == "l2":
        return math.sqrt(sum(m / n * (a - c) ** 2 for m, c, a in found))
    return sum(m / n * abs(a - c) for m, c, a in found)


def debiased_ece(confidence, correct, bins):
    found = [(m, c, a) for m, c, a in gaps(confidence, correct, bins) if m > 1]
    n = sum(m for m, _, _ in found)
    if n == 0:
        return math.nan
    square = sum(m / n * ((a - c) ** 2 - a * (1 - a) / (m - 1)) for m, c, a in found)
    return math.sqrt(max(square, 0.0))


def top_label_ece(probs, labels, n_bins):
    n = len(labels)
    predicted = [max(range(len(row)), key=lambda k: row[k]) for row in probs]
    total = 0.0
    for option in set(predicted):
        rows = [i for i in range(n) if predicted[i] == option]
        confidence = [probs[i][option] for i in rows]
        correct = [labels[i] == option for i in rows]
        total += len(rows) / n * ece(confidence, correct, n_bins)
    return total


def aurc(confidence, correct, orders):
    """Mean over orders of the rows, each sorted by falling confidence with its ties left as is."""
    total = 0.0
    for order in orders:
        ranked = sorted(order, key=lambda i: -confidence[i])
        wrong = 0.0
        for place, i in enumerate(ranked, start=1):
            wrong += 1 - correct[i]
            total += wrong / place / len(ranked) / len(orders)
    return total


def smooth_ece_at(confidence, correct, bandwidth, n_cells=2000):
    """Integral of |smoothed residual| by the midpoint rule, reflections summed one by one."""
    n = len(confidence)
    total = 0.0
    for cell in range(n_cells):
        t = (cell + 0.5) / n_cells
        smoothed = 0.0
        for c, y in zip(confidence, correct, strict=True):
            kernel = 0.0
            for period in range(-3, 4):
                for image in (2 * period + c, 2 * period - c):
                    kernel += math.exp(-0.5 * ((t - image) / bandwidth) ** 2)
            smoothed += kernel * (c - y)
        total += abs(smoothed) / (n * bandwidth * math.sqrt(2 * math.pi))
    return total / n_cells


def smooth_ece(confidence, correct, halvings=12, n_cells=500):
    low, high = 0.0, 1.0
    for _ in range(halvings):
        middle = (low + high) / 2
        if smooth_ece_at(confidence, correct, middle, n_cells) > middle:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def auroc(confidence, correct):
    wins, pairs = 0.0, 0
    for a, right in zip(confidence, correct, strict=True):
        for b, other in zip(confidence, correct, strict=True):
            if right and not other:
                pairs += 1
                wins += 1.0 if a > b else 0.5 if a == b else 0.0
    return wins / pairs


def wilson(right, n, z=1.959963984540054):
    """Both p with |right / n - p| = z sqrt(p (1 - p) / n), from the quadratic."""
    a = 1 + z * z / n
    b = -(2 * right / n + z * z / n)
    c = (right / n) ** 2
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def softmax(scores, temperature):
    largest = max(scores)
    odds = [math.exp((s - largest) / temperature) for s in scores]
    return [o / math.fsum(odds) for o in odds]


def nll_at(scores, labels, temperature, weights=None):
    weights = weights or [1.0] * len(labels)
    total = 0.0
    for row, label, weight in zip(scores, labels, weights, strict=True):
        if weight:
            finite = [s for s in row if s > -math.inf]
            largest = max(finite)
            norm = math.log(math.fsum(math.exp((s - largest) / temperature) for s in finite))
            total += weight * (norm - (row[label] - largest) / temperature)
    return total / sum(weights)


def _shared(own, whole):
    length = 0
    while length < min(len(own), len(whole)) and own[length] == whole[length]:
        length += 1
    return length


def _logprobs(model, ids):
    """Log-probability of every token after every position, float64, from the model's own logits."""
    import torch

    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].double().log_softmax(dim=-1)


def continuation(model, ids, start):
    """Log-likelihood of ids[start:] after ids[:start]: one forward pass, no padding, no tricks."""
    table = _logprobs(model, ids)
    return math.fsum(
        table[position - 1, ids[position]].item() for position in range(start, len(ids))
    )


def option_scores(model, tokenizer, text, options):
    """Log-likelihood of each option after what the encodings of the joined texts share."""
    own = tokenizer(text)["input_ids"]
    wholes = [tokenizer(text + option)["input_ids"] for option in options]
    start = min(_shared(own, whole) for whole in wholes)
    return [continuation(model, whole, start) for whole in wholes]


def hidden_states(model, ids):
    """(layers + 1, D) hidden states at the last of some tokens, as transformers gives them."""
    import torch

    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    return torch.stack([state[0, -1] for state in states])
