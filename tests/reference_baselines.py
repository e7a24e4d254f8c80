"""The recalibrators once more, as literal float64 loops; what the package's code must equal."""

import math


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def logit(p):
    return math.log(p) - math.log1p(-p)


def platt_gradient(confidence, correct, slope, intercept, epsilon):
    """Both derivatives of the log-likelihood with Platt's targets, over N; zero at the maximum."""
    right = sum(correct)
    wrong = len(correct) - right
    of_slope = of_intercept = 0.0
    for c, y in zip(confidence, correct, strict=True):
        x = logit(min(max(c, epsilon), 1 - epsilon))
        target = (right + 1) / (right + 2) if y else 1 / (wrong + 2)
        residual = target - sigmoid(slope * x + intercept)
        of_slope += residual * x
        of_intercept += residual
    return of_slope / len(correct), of_intercept / len(correct)


def isotonic(confidence, correct):
    """By the max-min formula over runs of different confidences, unclipped; one value per row."""
    values = sorted(set(confidence))
    right = [sum(y for c, y in zip(confidence, correct, strict=True) if c == v) for v in values]
    count = [sum(1 for c in confidence if c == v) for v in values]
    fit = {}
    for i, v in enumerate(values):
        fit[v] = max(
            min(sum(right[a : b + 1]) / sum(count[a : b + 1]) for b in range(i, len(values)))
            for a in range(i + 1)
        )
    return [fit[c] for c in confidence]


def isotonic_with_ends(confidence, correct, at_ends):
    """`isotonic` of confidences held at the ends, clipped to what the answers there bear."""
    n = len(confidence)
    least_rows = min(at_ends, (n + 1) // 2)
    low, high = sorted(confidence)[least_rows - 1], sorted(confidence)[n - least_rows]
    fit = isotonic([min(max(c, low), high) for c in confidence], correct)
    least, most = 0.5, 0.5
    for level in fit:
        below = [y for f, y in zip(fit, correct, strict=True) if f <= level]
        above = [y for f, y in zip(fit, correct, strict=True) if f >= level]
        least = min(least, max(sum(below) / len(below), 1 / (2 * len(below))))
        most = max(most, min(sum(above) / len(above), 1 - 1 / (2 * len(above))))
    return [min(max(f, least), most) for f in fit]


def log_beta(a, b):
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def beta_binomial(right, count, curve, strength):
    total = 0.0
    for k, n, f in zip(right, count, curve, strict=True):
        a, b = strength * f, strength * (1 - f)
        total += log_beta(k + a, n - k + b) - log_beta(a, b)
    return total


def softmax(scores):
    largest = max(scores)
    odds = [math.exp(s - largest) for s in scores]
    return [o / math.fsum(odds) for o in odds]


def divide_by_mean(scores, fitted):
    """q proportional to p / m, all rows having equally many options."""
    probs = [softmax(row) for row in fitted]
    mean = [math.fsum(column) / len(fitted) for column in zip(*probs, strict=True)]
    result = []
    for row in scores:
        quotient = [p / m for p, m in zip(softmax(row), mean, strict=True)]
        result.append([q / math.fsum(quotient) for q in quotient])
    return result
