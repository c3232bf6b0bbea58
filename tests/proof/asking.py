"""Asks two worlds the same and compares what they say: status, headers and body, byte for byte."""

from __future__ import annotations

import http.client
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.proof.questions import CURRENT, AnyQuestion, Asked, FileQuestion, Question, SubscriptionQuestion
from tests.proof.viewers import Person
from tests.proof.worlds import Server, World

PAGES_MOST = 6
SILENCE_SECONDS, PATIENCE_SECONDS = 0.4, 10.0
"""How long a subscription without events is listened to; and where one world was silent and the other was not."""
COLLECTIONS = {"cus": "customers", "cas": "cases", "evd": "evidence", "usr": "users"}
_REFRESH = re.compile(rb"rt_[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, digests of ciphertexts and new refresh tokens named instead of told."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether something was really told: no error, no refusal."""
        if self.status >= 300:
            return False
        try:
            found = json.loads(self.body)
        except ValueError:
            return True
        found = found.get("payload", found) if isinstance(found, dict) else None  # of a subscription
        data = found.get("data") if isinstance(found, dict) else None
        if not data or "errors" in found:
            return False
        (value,) = data.values()
        return value is not None and not (isinstance(value, dict) and value.get("userErrors"))


@dataclass(frozen=True, slots=True)
class Difference:
    """Two answers to one question."""

    viewer: str
    question: AnyQuestion
    first: Answer
    second: Answer

    def __str__(self) -> str:
        def near(one: bytes, other: bytes) -> str:
            at = next(
                (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
            )
            return one[max(0, at - 120) : at + 120].decode(errors="replace")

        if self.first.body != self.second.body:
            shown = f"\n  {near(self.first.body, self.second.body)}\n  {near(self.second.body, self.first.body)}"
        else:
            shown = f"\n  {self.first.status} {self.first.headers}\n  {self.second.status} {self.second.headers}"
        return f"{self.viewer}: {self.question.label[:600]}{shown}"


class Speaker:
    """One viewer's connection to one world."""

    def __init__(self, world: World, server: Server, viewer: Person) -> None:
        self.world, self.server = world, server
        self._token = world.base.tokens[viewer.key]
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def close(self) -> None:
        self._connection.close()

    def ask(self, question: AnyQuestion, number: int, silence: float = SILENCE_SECONDS) -> list[Answer]:
        """One answer, or one for each page. Who says nothing for `silence` seconds is silent."""
        if isinstance(question, FileQuestion):
            return [self._request(question.method, question.path, dict(question.headers), question.body, number)]
        if isinstance(question, SubscriptionQuestion):
            return [self._subscribed(question, silence)]
        variables = dict(question.variables)
        answers = [self._post(question, variables, number)]
        while question.pages and len(answers) < PAGES_MOST:
            cursor = _end_of(answers[-1], question.pages)
            if cursor is None:
                break
            answers.append(self._post(question, {**variables, "after": cursor}, number))
        return answers

    def _post(self, question: Question, variables: dict[str, Any], number: int) -> Answer:
        given = variables.get("input")
        if isinstance(given, dict) and given.get("version") == CURRENT:
            variables = {**variables, "input": {**given, "version": self._version(question.target or "")}}
        body = json.dumps({"query": question.text, "variables": variables}, ensure_ascii=False).encode()
        return self._request("POST", "/graphql", {"content-type": "application/json"}, body, number)

    def _version(self, target: str) -> int:
        document = self.world.stored(COLLECTIONS.get(target.partition("_")[0], "customers"), target)
        return int((document or {"version": 1})["version"])

    def _request(self, method: str, path: str, headers: dict[str, str], body: bytes | None, number: int) -> Answer:
        named = {**headers, "authorization": f"Bearer {self._token}", "x-request-id": f"request-{number:08d}"}
        try:
            self._connection.request(method, path, body, named)
            answer = self._connection.getresponse()
            content = answer.read()
        except (http.client.HTTPException, OSError):
            self._connection.close()  # it was ended by an answer before; nothing was asked
            self._connection.request(method, path, body, named)
            answer = self._connection.getresponse()
            content = answer.read()
        told = tuple(
            sorted((name.lower(), self.world.named(value.encode()).decode()) for name, value in answer.getheaders())
        )
        return Answer(
            answer.status, _of_content(told, content), _REFRESH.sub(b"<refresh token>", self.world.named(content))
        )

    def _subscribed(self, question: SubscriptionQuestion, silence: float) -> Answer:
        with connect(
            f"ws://127.0.0.1:{self.server.port}/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
            close_timeout=1,
        ) as socket:
            socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {self._token}"}}))
            socket.recv(10)
            payload = {"query": question.text, "variables": dict(question.variables)}
            socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            try:
                content = str(socket.recv(silence)).encode()
            except TimeoutError:
                content = b"<silence>"
        return Answer(200, (), self.world.named(content))


def _of_content(headers: tuple[tuple[str, str], ...], content: bytes) -> tuple[tuple[str, str], ...]:
    """The length of an answer with a refresh token or a digest is that of its body, which is compared by itself."""
    return tuple(
        (name, "<of the body>" if name == "content-length" and int(value) == len(content) else value)
        for name, value in headers
    )


def _end_of(answer: Answer, path: Iterable[str]) -> str | None:
    try:
        found = json.loads(answer.body)["data"]
        for part in path:
            found = found[part]
        page = found["pageInfo"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(page["endCursor"]) if page.get("hasNextPage") and page.get("endCursor") else None


@dataclass
class Findings:
    """What was asked, what differed, and which parts of the schema were really answered."""

    asked: int = 0
    differences: list[Difference] = field(default_factory=list)
    covered: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    by_surface: Counter[str] = field(default_factory=Counter)

    def add(self, other: Findings) -> None:
        self.asked += other.asked
        self.differences += other.differences
        self.covered |= other.covered
        self.answered |= other.answered
        self.by_surface += other.by_surface


@contextmanager
def served(*worlds: World) -> Iterator[list[Server]]:
    """Servers of these worlds."""
    servers: list[Server] = []
    try:
        servers += [world.serve() for world in worlds]
        yield servers
    finally:
        for server in servers:
            server.stop()


def compare(
    asked: Asked, servers: tuple[Server, Server], questions: Iterable[AnyQuestion], *, until: int | None = None
) -> Findings:
    """Asks both worlds in step. `until`: how many differences suffice.

    Both worlds and both clocks begin as they were told; a change of rights or sessions is taken back at once.
    """
    findings = Findings()
    worlds = (asked.first, asked.second)
    for world, server in zip(worlds, servers, strict=True):
        world.restore()
        server.rewind()
    speakers = [Speaker(world, server, asked.viewer) for world, server in zip(worlds, servers, strict=True)]
    epochs = [world.epoch() for world in worlds]
    changed = False
    try:
        for number, question in enumerate(questions):
            answers = []
            for speaker in speakers:
                speaker.server.step(number)
                answers.append(speaker.ask(question, number))
            if isinstance(question, SubscriptionQuestion) and answers[0] != answers[1]:
                answers = [speaker.ask(question, number, PATIENCE_SECONDS) for speaker in speakers]
            findings.asked += 1
            findings.by_surface[question.surface] += 1
            findings.covered |= question.names
            for first, second in zip(*answers, strict=False):
                if first.is_good:
                    findings.answered |= question.names
                if first != second:
                    if changed and _same_after_learning(worlds, first, second):
                        continue
                    findings.differences.append(Difference(asked.viewer.key, question, first, second))
                    break
            if len(answers[0]) != len(answers[1]) and answers[0][-1] == answers[1][-1]:
                findings.differences.append(Difference(asked.viewer.key, question, answers[0][-1], answers[1][-1]))
            if until is not None and len(findings.differences) >= until:
                return findings
            if question.surface in ("mutation", "file"):
                changed = True
                if [world.epoch() for world in worlds] != epochs:
                    for world in worlds:
                        world.restore()
                    epochs = [world.epoch() for world in worlds]
    finally:
        for speaker in speakers:
            speaker.close()
    return findings


def _same_after_learning(worlds: tuple[World, World], first: Answer, second: Answer) -> bool:
    """Whether the answers differ by digests of ciphertexts alone that were written since the worlds were told."""
    named = []
    for world, answer in zip(worlds, (first, second), strict=True):
        world.learn()
        headers = tuple((name, world.named(value.encode()).decode()) for name, value in answer.headers)
        named.append((answer.status, headers, world.named(answer.body)))
    return named[0] == named[1]
