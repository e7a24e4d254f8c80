"""Output tables of rows that were computed anywhere: extracted on a cluster, written, merged."""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thermometer import _checks, _files, table_files
from thermometer.tables import OutputTable
from thermometer.tasks import load_tasks, question_row
from thermometer.templates import Template
from thermometer.tokenization import extending_note
from thermometer.types import Question


def write_table(
    batches: Iterable[Mapping[str, Any]],
    out_dir: str | Path,
    *,
    provenance: Mapping[str, Any] | None = None,
    order: Sequence[str] | None = None,
) -> OutputTable:
    """Write rows as an output table, which is there as a whole or not at all.

    Args:
        batches: Batches of rows as columns, one Parquet part each. `id`, `task`, `question`,
            `choices` and, where there are any, `answer` (-1, NaN or `None` where unknown) and
            `context`; `features` (B, D) or `scores` (B, K), ``-inf`` or nothing to the right of
            short rows, or both; with scores `option_mass` (B,); and, if known, `n_prompt_tokens`.
            A column `provenance` of JSON texts, the same in all rows, stands for the argument.
        out_dir: Folder of the table; must not hold anything yet.
        provenance: What made the `features` and the `scores`; see `OutputTable`.
        order: Ids of all questions as they should be listed; by default as they come.

    Returns:
        The table, read back from the folder.

    Raises:
        ValueError: If there are no rows; if a question stands twice, is missing from `order` or is
            not in it; if provenance differs or there is none; or if numbers are not finite or do
            not fit the questions. The message names the question.

    Example:
        >>> from tempfile import mkdtemp
        >>> batch = {"id": ["a"], "task": ["sky"], "question": ["Blue?"], "choices": [["y", "n"]]}
        >>> batch |= {"scores": [[2.0, 0.5]], "option_mass": [0.9]}
        >>> write_table([batch], mkdtemp(), provenance={"scores": {"model": "an API"}})
        OutputTable(questions=1, tasks=1, features=None, scores=True, labelled=False)
    """
    out = _vacant(out_dir)
    texts = set() if provenance is None else {json.dumps(provenance)}
    rows: dict[str, dict[str, Any]] = {}
    parts: dict[str, int] = {}
    with _files.replaced_folder(out) as unfinished:
        for batch in batches:
            own = question_rows(batch)
            if not own:
                continue
            for row in own:
                if row["id"] in rows:
                    raise _checks.fail("batches", "each question once", f"{row['id']!r} twice")
                rows[row["id"]] = row
            if provenance is None:
                texts |= set(map(str, _column(batch, "provenance")))
            name = f"part-{len(parts):05d}.parquet"
            table_files.write_part(unfinished / name, _measured(batch, own))
            parts[name] = len(own)
        if not rows:
            raise _checks.fail("batches", "at least one row", "none")
        digest = table_files.write_questions(unfinished, _ordered(rows, order))
        table_files.finish(unfinished, parts, _one_provenance(texts), digest)
        table = OutputTable.open(unfinished)  # refuses bad numbers before they take their place
    table_files.warn_of_ties(table.tasks, table.scores)
    return table


def _vacant(out_dir: str | Path) -> Path:
    if not _files.is_vacant(Path(out_dir)):
        raise _checks.fail("out_dir", "a folder that holds nothing yet", str(out_dir))
    return Path(out_dir)


def _column(batch: Mapping[str, Any], name: str) -> Any:
    if name not in batch:
        raise _checks.fail("batches", f"with a column {name!r}", f"{sorted(batch)}")
    return batch[name]


def question_rows(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The questions of a batch of columns as rows of the JSON lines format, plain Python values."""
    ids, tasks, texts, choices = (
        _column(batch, name) for name in ("id", "task", "question", "choices")
    )
    nothing = [None] * len(ids)
    answers, contexts = batch.get("answer", nothing), batch.get("context", nothing)
    rows = []
    for number, identifier in enumerate(ids):
        name, task = _name("id", identifier), _name("task", tasks[number])
        options = tuple(map(str, _checks.strings(f"choices of {name}", choices[number])))
        context = None if _is_gap(contexts[number]) else contexts[number]
        text, answer = texts[number], _answer(name, answers[number])
        if not isinstance(text, str):
            raise TypeError(f"Expected `question` to be a text, but got {text!r} in {name}")
        rows.append(question_row(Question(name, str(text), options, answer, context), task))
    return rows


def _name(column: str, value: Any) -> str:
    """An id or a task, which may be numbered."""
    if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
        raise TypeError(f"Expected `{column}` to hold texts or whole numbers, but got {value!r}")
    return str(value)


def _is_gap(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _answer(identifier: str, value: Any) -> int | None:
    """The index of an answer; columns with gaps come as floats."""
    if _is_gap(value) or value is None:
        return None
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not float(value).is_integer() or value < -1:
        expected = "the index of the right choice, or -1 where unknown"
        raise _checks.fail("answer", expected, f"{value!r} in question {identifier}")
    return None if value == -1 else int(value)


def _measured(batch: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "id": [row["id"] for row in rows],
        "task": [row["task"] for row in rows],
        "label": [row.get("answer") for row in rows],
        "n_prompt_tokens": batch.get("n_prompt_tokens", [None] * len(rows)),
        "option_mass": batch.get("option_mass"),
    }
    if columns["option_mass"] is not None:
        mass = _checks.vector("option_mass", columns["option_mass"], len(rows))
        if (bad := (mass < 0) | (mass > _checks.MOST_MASS)).any():
            got = f"{mass[bad][0]} for question {rows[int(bad.argmax())]['id']}"
            raise _checks.fail("option_mass", "a probability in [0, 1]", got)
        columns["option_mass"] = mass.clip(max=1.0)
    if batch.get("scores") is not None:
        columns["scores"] = [_without_padding(row) for row in batch["scores"]]
    if batch.get("features") is not None:
        features = np.stack([np.asarray(row) for row in batch["features"]])
        whole = features.dtype not in (np.float16, np.float32)
        columns["features"] = features.astype(np.float32) if whole else features
    return columns


def _without_padding(scores: Any) -> list[float]:
    row = np.asarray(scores, dtype=np.float64)
    real = np.flatnonzero(~np.isneginf(row))
    return row[: real[-1] + 1 if len(real) else 0].tolist()  # type: ignore[no-any-return]


def _ordered(
    rows: Mapping[str, dict[str, Any]], order: Sequence[str] | None
) -> list[dict[str, Any]]:
    if order is None:
        return list(rows.values())
    wanted = _checks.strings("order", order)
    for expected, ids in (
        ("ids of questions that came", set(wanted) - set(rows)),
        ("the ids of all questions", set(rows) - set(wanted)),
    ):
        if ids:
            listed = f"{', '.join(sorted(ids)[:10])}{', …' * (len(ids) > 10)}"
            raise _checks.fail("order", expected, f"{len(ids)} others: {listed}")
    return [rows[identifier] for identifier in wanted]


def _one_provenance(texts: set[str]) -> dict[str, Any]:
    if len(texts) > 1:
        raise _checks.fail("provenance", "the same in all rows", " and ".join(sorted(texts)))
    found = _files.parse_json(texts.pop(), "provenance")
    if not isinstance(found, dict) or not set(found) <= {"features", "scores"}:
        raise _checks.fail("provenance", "of `features` and `scores`", repr(found))
    return {"features": None, "scores": None, **found}


class Extractor:
    """Computes features and option scores of batches of questions, as `map_batches` of Ray Data.

    The arguments travel to the workers, which load the model when they start. The results equal
    those of `thermometer.extract`, and come back in any order; `write_table` makes an output table
    of them. The same object serves `datasets.Dataset.map`, or a loop.

    Args:
        model: As for `LanguageModel.from_pretrained`; each worker must find it under this name.
        template: How to render questions; letters by default.
        demonstrations: Answered questions by the name of the task, for a template with shots.
        features: Whether to compute features.
        scores: Whether to compute option scores and option mass.
        feature_dtype: How features travel.
        device: Where to put the model: by default the GPU that Ray assigned, else the CPU.
        **options: Of `LanguageModel.from_pretrained`: `dtype`, `num_layers`, `token_budget`, …

    Raises:
        ValueError: If neither `features` nor `scores` are wanted, or scores of a model cut to its
            first layers.

    Example:
        A dataset `questions` with the columns `id`, `task`, `question` and `choices`::

            done = questions.map_batches(
                Extractor,
                fn_constructor_args=("meta-llama/Llama-3.2-1B-Instruct",),
                fn_constructor_kwargs={"scores": False, "dtype": "bfloat16"},
                compute=ray.data.ActorPoolStrategy(size=8), batch_size=256, num_gpus=1,
            )
            write_table(done.iter_batches(batch_size=1024), "outputs/features")
    """

    def __init__(
        self,
        model: str,
        *,
        template: Template | None = None,
        demonstrations: Mapping[str, Sequence[Question]] | None = None,
        features: bool = True,
        scores: bool = True,
        feature_dtype: Literal["float16", "float32"] = "float32",
        device: str | None = None,
        **options: Any,
    ) -> None:
        if not (features or scores):
            raise _checks.fail("features", "True where `scores` is False", "False for both")
        _checks.one_of("feature_dtype", feature_dtype, ("float16", "float32"))
        import torch  # which merging and importing tables do not wait for

        from thermometer.language_model import LanguageModel

        self._lm = LanguageModel.from_pretrained(model, **options)
        if scores:
            self._lm.require_scores()
        self._lm.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._template = template or Template()
        self._demonstrations = demonstrations or {}
        self._features, self._scores = features, scores
        self._feature_dtype = feature_dtype
        source = self._lm.provenance(self._template)
        provenance = {
            "features": source if features else None,
            "scores": source if scores else None,
        }
        self._provenance = json.dumps(provenance, sort_keys=True)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a batch, and those that were computed.

        Args:
            batch: B questions as columns: `id`, `task`, `question`, `choices`, and `context` where
                there is any. Other columns are passed through.

        Returns:
            Also `n_prompt_tokens` (B,); `features` (B, D); `scores`, B rows of as many float32 as
            the question has options; `option_mass` (B,); and `provenance` (B,), JSON texts.

        Raises:
            ValueError: For prompts longer than the model's context, options that tokenize alike, or
                scores that are not finite. The message names the question.
        """
        prompts = []
        for row in question_rows(batch):
            question = Question(
                row["id"], row["question"], row["choices"], context=row.get("context")
            )
            shots = self._demonstrations.get(row["task"], ())
            prompts.append(self._template.render(question, row["task"], shots))
        trees = self._lm.encode(prompts, self._template)
        if self._scores and (note := extending_note(trees)):
            warnings.warn(note, stacklevel=2)
        outputs = self._lm.compute(trees, features=self._features, scores=self._scores)
        columns = dict(batch)
        columns["n_prompt_tokens"] = np.array([tree.n_prompt_tokens for tree in trees])
        columns["provenance"] = np.array([self._provenance] * len(trees), dtype=object)
        if outputs.features is not None:
            columns["features"] = outputs.features.astype(self._feature_dtype)
        if outputs.scores is not None and outputs.option_mass is not None:
            columns["scores"] = np.empty(len(trees), dtype=object)
            for number, tree in enumerate(trees):
                columns["scores"][number] = outputs.scores[number, : len(tree.branches)]
            columns["option_mass"] = outputs.option_mass
        return columns


MISSING = "missing.jsonl"
ROWS = 4096
"""Largest number of rows in memory at once, and of a merged part."""

_PLAIN = ("id", "task", "label", "n_prompt_tokens", "option_mass")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Merged:
    """What `merge` has written.

    Args:
        folder: Of the new table.
        n_questions: Its rows.
        missing: Ids of the questions that no table has; ``missing.jsonl`` in the folder holds
            these questions, ready to be extracted.
    """

    folder: Path
    n_questions: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    """One finished table: its manifest, the schemas of its parts and its questions."""

    folder: Path
    manifest: Row
    schemas: Sequence[pa.Schema]
    rows: Sequence[Row]

    @property
    def products(self) -> tuple[str, ...]:
        """Which of `features` and `scores` it has."""
        return tuple(name for name in ("features", "scores") if name in self.schemas[0].names)


def merge(
    folders: Sequence[str | Path],
    out_dir: str | Path,
    *,
    questions: str | Path | None = None,
    allow_missing: bool = False,
) -> Merged:
    """Write one output table of the rows of several.

    Either all tables have the same columns, or some have features and the others the scores of the
    same questions. The new table is there as a whole or not at all.

    Args:
        folders: Finished tables, at least one.
        out_dir: Folder of the new table; must not hold anything yet.
        questions: Where the questions come from that the table should hold, as `load_tasks` reads
            them; they give its order. By default the order of the tables.
        allow_missing: Whether some of these questions may be missing; they are then written to
            ``missing.jsonl``.

    Raises:
        FileNotFoundError: If a table is unfinished, or there are no such questions.
        ValueError: If a question stands twice, is missing, is not asked for or differs from what is
            asked for; if the tables were not all made by the same model, template and settings; or
            if their columns do not go together or are damaged. The message names tables and ids.
    """
    given = folders if isinstance(folders, str) else map(str, folders)
    paths = [Path(folder) for folder in _checks.strings("folders", given)]
    if not paths:
        raise _checks.fail("folders", "at least one table", "none")
    out = _vacant(out_dir)
    sources = [_open(path) for path in paths]
    main, scores = _roles(sources)
    rows = _union(main)
    provenance = {"features": _one(main, "features"), "scores": _one(scores or main, "scores")}
    if scores:
        _require_same(rows, _union(scores), "the features", "the scores")
    wanted, missing = _wanted(rows, questions, allow_missing)
    with _files.replaced_folder(out) as unfinished:
        parts: dict[str, int] = {}
        for whole in _joined(_pieces(main, rows), scores):
            name = f"part-{len(parts):05d}.parquet"
            pq.write_table(whole, unfinished / name, compression="zstd")
            parts[name] = len(whole)
        digest = table_files.write_questions(unfinished, wanted)
        if missing:
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in missing)
            _files.write_text(unfinished / MISSING, lines)
        table_files.finish(unfinished, parts, provenance, digest)
    return Merged(out, len(wanted), tuple(row["id"] for row in missing))


def _open(folder: Path) -> _Source:
    manifest, rows, _ = table_files.read_declared(folder)
    schemas = []
    for name in manifest["parts"]:
        try:
            schemas.append(pq.read_schema(folder / name))
        except FileNotFoundError:
            raise ValueError(f"{folder / name}: the manifest names it, but it is missing") from None
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{folder / name}: damaged Parquet part ({error})") from error
    if len({frozenset(schema.names) for schema in schemas}) > 1:
        raise ValueError(f"{folder}: expected parts with the same columns")
    return _Source(folder, manifest, schemas, rows)


def _roles(sources: Sequence[_Source]) -> tuple[list[_Source], list[_Source]]:
    """The tables whose rows are written, and those whose scores are joined to them."""
    kinds: dict[tuple[str, ...], list[_Source]] = {}
    for source in sources:
        kinds.setdefault(source.products, []).append(source)
    if set(kinds) == {("features",), ("scores",)}:
        return kinds["features",], kinds["scores",]
    if len(kinds) > 1 or () in kinds:
        raise _checks.fail(
            "folders",
            "tables with the same columns, or some with features and some with scores",
            ", ".join(f"{' and '.join(k) or 'neither'} in {g[0].folder}" for k, g in kinds.items()),
        )
    return list(sources), []


def _union(sources: Sequence[_Source]) -> dict[str, Row]:
    """The questions of several tables by id, each of them once."""
    rows: dict[str, Row] = {}
    folder_of: dict[str, Path] = {}
    for source in sources:
        for row in source.rows:
            identifier = row["id"]
            if identifier in rows:
                where = f"{folder_of[identifier]} and in {source.folder}"
                raise ValueError(f"Expected each question once, but {identifier!r} is in {where}")
            rows[identifier], folder_of[identifier] = row, source.folder
    return rows


def _one(sources: Sequence[_Source], name: str) -> Any:
    """What made the features or the scores of all tables."""
    first, *others = [source.manifest["provenance"].get(name) or {} for source in sources]
    for source, other in zip(sources[1:], others, strict=True):
        for key in sorted({*first, *other}):
            if first.get(key) != other.get(key):
                raise ValueError(
                    f"Expected {name} of one origin, but {key} is {first.get(key)!r} in "
                    f"{sources[0].folder} and {other.get(key)!r} in {source.folder}"
                )
    return first or None


def _require_same(a: Mapping[str, Row], b: Mapping[str, Row], here: object, there: object) -> None:
    """Both must hold the same questions; `b` may leave out fields of a question."""
    if differing := sorted(set(a) ^ set(b)):
        raise ValueError(
            f"Expected the same questions, but {len(differing)} are only in {here} or only in "
            f"{there}: {', '.join(differing[:3])}"
        )
    for identifier, row in b.items():
        if any(a[identifier].get(key) != value for key, value in row.items()):
            raise ValueError(f"Expected {identifier} to be the same in {here} and {there}")


def _wanted(
    rows: Mapping[str, Row], questions: str | Path | None, allow_missing: bool
) -> tuple[list[Row], list[Row]]:
    """The questions of the new table in their order, and those that no table has."""
    if questions is None:
        return list(rows.values()), []
    asked: dict[str, Row] = {
        q.id: question_row(q, t.name) for t in load_tasks(questions) for q in t.questions
    }
    missing = [row for identifier, row in asked.items() if identifier not in rows]
    if missing and not allow_missing:
        raise ValueError(
            f"Expected all {len(asked)} questions of {questions}, but {len(missing)} are missing: "
            f"{', '.join(row['id'] for row in missing[:10])}{', …' * (len(missing) > 10)}"
        )
    present = {identifier: row for identifier, row in asked.items() if identifier in rows}
    _require_same(rows, present, "the tables", questions)
    return [rows[identifier] for identifier in present], missing


def _pieces(sources: Sequence[_Source], rows: Mapping[str, Row]) -> Iterator[pa.Table]:
    """All rows of some tables, checked, a few thousand at a time, columns of one type."""
    common = set.intersection(*(set(s.names) for source in sources for s in source.schemas))
    kinds = {name: _type(sources, name) for name in ("scores", "features") if name in common}
    for source in sources:
        left = {row["id"] for row in source.rows}
        for name, size in source.manifest["parts"].items():
            file = source.folder / name
            for raw in _batches(file, size):
                piece = table_files.typed(file, table_files.intact(file, raw))
                columns = table_files.columns_of(piece)
                if unknown := set(columns["id"]) - left:
                    raise ValueError(f"{file}: {min(unknown)!r} is no question, or stands twice")
                left -= set(columns["id"])
                table_files.check_rows(source.folder, [rows[i] for i in columns["id"]], columns)
                OutputTable.from_columns(columns, {})  # refuses numbers that are not finite
                found = {key: piece[key] for key in _PLAIN if key in common}
                cast = {key: raw[key].cast(kind) for key, kind in kinds.items()}
                yield pa.table({**found, **cast})
        if left:
            raise ValueError(f"{source.folder}: no part holds question {min(left)!r}")


def _batches(file: Path, size: int) -> Iterator[pa.Table]:
    """The rows of one part, which must be so many, a few thousand at a time."""
    try:
        with pq.ParquetFile(file) as part:
            if part.metadata.num_rows != size:
                got = part.metadata.num_rows
                raise ValueError(f"{file}: expected {size} rows, but got {got}")
            for batch in part.iter_batches(ROWS):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: damaged or truncated Parquet part ({error})") from error


def _type(sources: Sequence[_Source], name: str) -> pa.DataType:
    """The type that a column has in all tables, or the widest."""
    found = {schema.field(name).type for source in sources for schema in source.schemas}
    if len(found) == 1:
        return found.pop()
    if name == "scores":
        return pa.list_(pa.float64())
    widths = {getattr(kind, "list_size", None) for kind in found}
    if len(widths) > 1:
        raise _checks.fail("folders", "tables with features of one width", sorted(map(str, found)))
    return pa.list_(pa.float32(), widths.pop())


def _joined(pieces: Iterable[pa.Table], sources: Sequence[_Source]) -> Iterator[pa.Table]:
    """Rows of some tables with the scores that others have of them."""
    if not sources:
        yield from pieces
        return
    scores = pa.concat_tables(_pieces(sources, _union(sources)))
    place = {identifier: row for row, identifier in enumerate(scores["id"].to_pylist())}
    for piece in pieces:
        own = scores.take(pa.array([place[i] for i in piece["id"].to_pylist()]))
        others = {n: piece[n] for n in piece.column_names if n != "option_mass"}
        taken = {n: own[n] for n in ("scores", "option_mass") if n in own.column_names}
        yield pa.table({**others, **taken})
