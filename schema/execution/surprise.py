"""What the compiled path does not know."""

from __future__ import annotations


class Surprise(Exception):
    """Raised before anything is answered: graphql-core takes over, with the results that are there already.

    `reason` is one of few words, for the counters; it never holds a value.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
