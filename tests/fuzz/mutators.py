"""Seeded damage to files: bytes, JSON trees, lines, names. Knows nothing of what they mean."""

import json
import random
import string

ODD_TEXTS = (
    "",
    " ",
    "\x00",
    "\x1b[31mred\x1b[0m",
    "\u202eright to left",
    "\ufeff",
    "\ud7ff\U0010ffff",
    "e\u0301" * 50,
    "../../escaped",
    "/tmp/escaped",
    "..",
    "a/b",
    "con",
    "x" * 300,
    "<script>alert(1)</script>",
    "${HOME}",
    "{{ 7 * 7 }}",
    "%s%n%d",
    "'; DROP TABLE answers; --",
    "__import__('os').system('touch EXECUTED')",
    "NaN",
    "1e400",
    "-0",
)
ODD_VALUES = (
    None,
    True,
    False,
    0,
    -1,
    2,
    10**9,
    2**31,
    2**63,
    -(2**63) - 1,
    10**40,
    0.5,
    -0.0,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    [],
    {},
    [[]],
    [None],
    {"": None},
    [1, "a"],
)
PAYLOADS = (
    b"cos\nsystem\n(S'touch EXECUTED'\ntR.",
    b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0etouch EXECUTED\x85R.",
    b"!!python/object/apply:os.system ['touch EXECUTED']\n",
    b"__import__('os').system('touch EXECUTED')",
    b"\x1f\x8b\x08\x00",
    b"PK\x03\x04",
    b"PAR1",
    b"\xff\xfe",
)


def odd(rng: random.Random) -> object:
    """A value that somebody did not expect."""
    kind = rng.random()
    if kind < 0.55:
        return rng.choice(ODD_VALUES)
    if kind < 0.9:
        return rng.choice(ODD_TEXTS)
    if kind < 0.97:
        return "".join(rng.choices(string.printable, k=rng.randrange(40)))
    value: object = 1
    for _ in range(rng.choice((3, 60, 900))):
        value = [value]
    return value


def places(tree: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The path of every value in a tree of dicts and lists."""
    found = [path]
    if isinstance(tree, dict):
        for key, value in tree.items():
            found += places(value, (*path, key))
    elif isinstance(tree, list):
        for position, value in enumerate(tree):
            found += places(value, (*path, position))
    return found


def mutated_tree(tree: object, rng: random.Random) -> object:
    """A copy of a JSON tree with one to three values replaced, dropped, renamed or doubled."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice((1, 1, 2, 3))):
        path = rng.choice(places(tree))
        if not path:
            if rng.random() < 0.1:
                return odd(rng)
            continue
        parent = tree
        for step in path[:-1]:
            parent = parent[step]
        last, action = path[-1], rng.random()
        if action < 0.6:
            parent[last] = odd(rng)
        elif action < 0.75:
            del parent[last]
        elif isinstance(parent, dict):
            key = str(odd(rng)) if action < 0.9 else f"{last}_"
            parent[key] = parent[last] if action < 0.9 else parent.pop(last)
        else:
            parent.insert(rng.randrange(len(parent) + 1), parent[last])
    return tree


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """A copy with bits flipped, pieces cut out, doubled or overwritten, or a payload put in."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        size = len(data)
        start = rng.randrange(size + 1)
        end = min(size, start + rng.choice((1, 2, 8, 64, 1024, size + 1)))
        action = rng.randrange(7)
        if action == 0 and size:
            data[rng.randrange(size)] ^= 1 << rng.randrange(8)
        elif action == 1:
            del data[start:end]
        elif action == 2:
            data[start:start] = data[start:end]
        elif action == 3:
            data[start:end] = bytes(rng.randrange(256) for _ in range(min(64, end - start)))
        elif action == 4:
            data[start:start] = rng.choice(PAYLOADS)
        elif action == 5:
            del data[start:]
        elif size > 8:
            at = rng.randrange(size - 8)
            number = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1))
            data[at : at + 8] = number.to_bytes(8, "little")
    return bytes(data)


def mutated_json(content: bytes, rng: random.Random) -> bytes:
    """As `mutated_tree`, of the text of a JSON file."""
    tree = mutated_tree(json.loads(content), rng)
    return json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def mutated_lines(content: bytes, rng: random.Random) -> bytes:
    """As `mutated_tree`, of some lines of a JSON lines file; lines are also doubled and dropped."""
    lines = content.splitlines()
    for _ in range(rng.choice((1, 1, 2, 5))):
        if not lines:
            break
        at = rng.randrange(len(lines))
        action = rng.random()
        if action < 0.7:
            lines[at] = mutated_json(lines[at], rng) if lines[at][:1] == b"{" else b"{}"
        elif action < 0.8:
            lines.insert(at, lines[at])
        elif action < 0.9:
            del lines[at]
        else:
            lines[at] = mutated_bytes(lines[at], rng)
    return b"\n".join(lines) + b"\n"


def mutate(name: str, content: bytes, rng: random.Random) -> bytes:
    """Damage a file, half of the time as its ending suggests, else byte by byte."""
    try:
        if rng.random() < 0.65:
            if name.endswith(".json"):
                return mutated_json(content, rng)
            if name.endswith(".jsonl"):
                return mutated_lines(content, rng)
    except (ValueError, RecursionError):
        pass
    return mutated_bytes(content, rng)
