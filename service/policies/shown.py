"""The policy as people read it: one table of what is seen, one of who may take which step. Pure.

The command line prints it, and the README has it between two marks, made from the same data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.access.declared import SEALED_CLASSES
from service.access.policy import Role
from service.policies.rules import takers

BEGIN, END = "<!-- policy: made by `anjuan policy show --into README.md` -->", "<!-- end of policy -->"
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Head and rows."""

_LEVELS = (
    "Who sees how much of what, by the relation to the record. Whoever owns a customer reaches its cases, too; whoever is "
    "assigned to a case, or of its department, its customer."
)
_STEPS = "Who takes which step: any of these roles, each with the relation that it needs."
_DENIALS = "Denied, whatever another role grants:"


def levels_table(content: Mapping[str, Any]) -> Table:
    """Who sees how much of which class, through which relation; roles without rows come last."""
    classes = tuple(sensitivity.value for sensitivity in SEALED_CLASSES)
    denied = {(row["role"], row["relation"], row["class"]) for row in content["deny"]}
    rows = []
    for row in content["grants"]:
        role, relation = row["role"], row["relation"]
        levels = (
            "denied" if (role, relation, name) in denied else row["levels"].get(name, "HIDDEN") for name in classes
        )
        rows.append((f"{role}, {relation}", *levels))
    with_rows = {row["role"] for row in content["grants"]}
    rows += [(role.value, *("–" for _ in classes)) for role in Role if role.value not in with_rows]
    return ("role, relation", *classes), rows


def denials_table(content: Mapping[str, Any]) -> Table:
    """What is hidden whatever the grants say, of any role that somebody has besides."""
    return ("role, relation", "class"), [(f"{row['role']}, {row['relation']}", row["class"]) for row in content["deny"]]


def steps_table(content: Mapping[str, Any]) -> Table:
    """Who may take which step."""
    return ("step", "who"), [(step, takers(grants)) for step, grants in content["steps"].items()]


def tables(content: Mapping[str, Any]) -> list[tuple[str, Table]]:
    """Every table with what is said about it."""
    found = [(_LEVELS, levels_table(content)), (_STEPS, steps_table(content))]
    if content["deny"]:
        found.insert(1, (_DENIALS, denials_table(content)))
    return found


def markdown(content: Mapping[str, Any]) -> str:
    """The tables as the README has them."""
    return "\n\n".join(f"{about}\n\n{_markdown_table(table)}" for about, table in tables(content))


def _markdown_table(table: Table) -> str:
    head, rows = table
    marked = [(f"`{row[0]}`" if head[0] == "step" else row[0], *row[1:]) for row in rows]
    lines = [head, ("---",) * len(head), *marked]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def between(text: str) -> str:
    """What stands between the marks in a document now."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def placed(text: str, content: Mapping[str, Any]) -> str:
    """A document with the tables between its marks. Raises LookupError where it has none."""
    if BEGIN not in text or END not in text:
        raise LookupError(f"the document has no place for the policy: {BEGIN} … {END}")
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{markdown(content)}\n{END}{text.partition(END)[2]}"
