"""The `merge` command: output tables of several machines or programs made one."""

from thermometer.merging import MISSING
from thermometer.merging import merge as merge_tables


def merge(
    folders: list[str], out: str, questions: str | None = None, allow_missing: bool = False
) -> None:
    """Write one output table of the rows of several, checked.

    Args:
        folders: Finished output tables: all with the same columns, or some with features and some
            with the scores of the same questions.
        out: Folder of the new table; must not hold anything yet.
        questions: The questions that the table should hold (.jsonl, folder, data set): any that is
            missing is named, and they give the order.
        allow_missing: Merge although questions are missing, and write them to missing.jsonl.
    """
    merged = merge_tables(folders, out, questions=questions, allow_missing=allow_missing)
    print(f"{merged.n_questions} questions of {len(folders)} tables: {merged.folder}")  # noqa: T201
    if merged.missing:
        print(f"{len(merged.missing)} missing: {merged.folder / MISSING}")  # noqa: T201
