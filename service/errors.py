"""Everything that can go wrong on purpose: one tree, stable codes, texts in zh-CN and en.

No HTTP or GraphQL words here: `schema/errors.py` decides where an error is shown.
An `Invalid` carries one or more `Problem`s and becomes a payload's `userErrors`; a `Refused` ends the
request. Neither text ever holds a value that somebody stored (P7).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Code(str, Enum):
    """Stable codes. A published code keeps its meaning for ever."""

    # Expected trouble with an input: shown in `userErrors`.
    REQUIRED = "REQUIRED"
    VALIDATION = "VALIDATION"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    WRONG_TYPE = "WRONG_TYPE"
    TOO_LONG = "TOO_LONG"
    TOO_MANY = "TOO_MANY"
    INVALID_FORMAT = "INVALID_FORMAT"
    INVALID_ID = "INVALID_ID"
    MASKED_VALUE = "MASKED_VALUE"
    FIELD_NOT_EDITABLE = "FIELD_NOT_EDITABLE"
    DUPLICATE = "DUPLICATE"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    NOT_ALLOWED_IN_STATE = "NOT_ALLOWED_IN_STATE"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    INVALID_SESSION = "INVALID_SESSION"
    SIGN_IN_REFUSED = "SIGN_IN_REFUSED"
    WEAK_PASSWORD = "WEAK_PASSWORD"  # noqa: S105 - a code, not a secret
    # Trouble with a file's bytes.
    EMPTY_FILE = "EMPTY_FILE"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    FILE_TYPE_REFUSED = "FILE_TYPE_REFUSED"
    LENGTH_MISMATCH = "LENGTH_MISMATCH"
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    ALREADY_UPLOADED = "ALREADY_UPLOADED"
    UPLOAD_EXPIRED = "UPLOAD_EXPIRED"
    # Refusals of a whole request: top-level errors.
    UNAUTHENTICATED = "UNAUTHENTICATED"
    ACCOUNT_LOCKED = "ACCOUNT_LOCKED"
    NOT_PERMITTED = "NOT_PERMITTED"
    QUESTION_REFUSED = "QUESTION_REFUSED"
    INVALID_CURSOR = "INVALID_CURSOR"
    INVALID_QUERY = "INVALID_QUERY"
    TOO_COSTLY = "TOO_COSTLY"
    TOO_LARGE = "TOO_LARGE"
    THROTTLED = "THROTTLED"
    SEARCH_BEHIND = "SEARCH_BEHIND"
    SEARCH_UNAVAILABLE = "SEARCH_UNAVAILABLE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    UNKNOWN_DOCUMENT = "UNKNOWN_DOCUMENT"
    TIMED_OUT = "TIMED_OUT"
    INTERNAL = "INTERNAL"


MESSAGES: dict[Code, dict[str, str]] = {
    Code.REQUIRED: {"en": "{field} is required.", "zh-CN": "必须填写 {field}。"},
    Code.VALIDATION: {"en": "{field}: {reason}", "zh-CN": "{field}:{reason}"},
    Code.UNKNOWN_FIELD: {"en": "{field} is not in the template.", "zh-CN": "模板中没有 {field}。"},
    Code.WRONG_TYPE: {"en": "{field} must be of type {expected}.", "zh-CN": "{field} 的类型应为 {expected}。"},
    Code.TOO_LONG: {"en": "{field} may have at most {limit} characters.", "zh-CN": "{field} 最多 {limit} 个字符。"},
    Code.TOO_MANY: {"en": "{field} may have at most {limit} entries.", "zh-CN": "{field} 最多 {limit} 项。"},
    Code.INVALID_FORMAT: {"en": "{field} is not in the right format: {reason}.", "zh-CN": "{field} 格式不正确:{reason}。"},
    Code.INVALID_ID: {"en": "{field} is not an id of the right type.", "zh-CN": "{field} 不是该类型的编号。"},
    Code.MASKED_VALUE: {"en": "{field} is a mask, not a value; leave it out to keep it.", "zh-CN": "{field} 是掩码而不是值;不修改时请省略。"},
    Code.FIELD_NOT_EDITABLE: {"en": "You may not change {field}.", "zh-CN": "您无权修改 {field}。"},
    Code.DUPLICATE: {"en": "{field} is already in use.", "zh-CN": "{field} 已被使用。"},
    Code.NOT_FOUND: {"en": "{field} names nothing that you can see.", "zh-CN": "找不到 {field} 所指的对象。"},
    Code.CONFLICT: {"en": "Somebody changed this meanwhile; it is now at version {current}.", "zh-CN": "内容已被他人修改,当前版本为 {current}。"},
    Code.NOT_ALLOWED_IN_STATE: {"en": "Not possible while the state is {state}.", "zh-CN": "当前状态 {state} 下不能执行此操作。"},
    Code.IDEMPOTENCY_MISMATCH: {"en": "This idempotency key was used with another input.", "zh-CN": "该幂等键已用于不同的输入。"},
    Code.INVALID_CREDENTIALS: {"en": "E-mail or password is wrong.", "zh-CN": "邮箱或密码错误。"},
    Code.INVALID_SESSION: {"en": "The session has ended; please sign in again.", "zh-CN": "会话已结束,请重新登录。"},
    Code.SIGN_IN_REFUSED: {"en": "This sign-in was refused; begin it again.", "zh-CN": "登录被拒绝,请重新开始。"},
    Code.WEAK_PASSWORD: {"en": "The password needs at least {limit} characters and must not be a common one.", "zh-CN": "密码至少 {limit} 个字符,且不能是常见密码。"},
    Code.EMPTY_FILE: {"en": "The file is empty.", "zh-CN": "文件为空。"},
    Code.FILE_TOO_LARGE: {"en": "The file is larger than {limit} bytes.", "zh-CN": "文件超过 {limit} 字节。"},
    Code.FILE_TYPE_REFUSED: {"en": "The file's content is not of the announced type, or the type is not accepted.", "zh-CN": "文件内容与声明的类型不符,或该类型不被接受。"},
    Code.LENGTH_MISMATCH: {"en": "The upload's length differs from the announced size.", "zh-CN": "上传长度与声明的大小不一致。"},
    Code.CHECKSUM_MISMATCH: {"en": "The upload's SHA-256 differs from the announced one.", "zh-CN": "上传内容的 SHA-256 与声明不一致。"},
    Code.ALREADY_UPLOADED: {"en": "This file was uploaded already.", "zh-CN": "该文件已上传。"},
    Code.UPLOAD_EXPIRED: {"en": "The time for this upload has passed; register the file again.", "zh-CN": "上传已过期,请重新登记文件。"},
    Code.UNAUTHENTICATED: {"en": "Please sign in.", "zh-CN": "请登录。"},
    Code.ACCOUNT_LOCKED: {"en": "Too much was read at once; this account is locked. Ask your compliance officer.", "zh-CN": "短时间内读取过多,账号已锁定,请联系合规人员。"},
    Code.NOT_PERMITTED: {"en": "You may not do this.", "zh-CN": "您无权执行此操作。"},
    Code.QUESTION_REFUSED: {"en": "You may not ask by {field}.", "zh-CN": "您无权按 {field} 查询。"},
    Code.INVALID_CURSOR: {"en": "This cursor is not valid for this question.", "zh-CN": "该游标对此查询无效。"},
    Code.INVALID_QUERY: {"en": "The query can't be read: {reason}.", "zh-CN": "查询无法解析:{reason}。"},
    Code.TOO_COSTLY: {"en": "The document is too costly: {field} {cost}, at most {limit}.", "zh-CN": "查询代价过高:{field} {cost},上限 {limit}。"},
    Code.TOO_LARGE: {"en": "The request is larger than {limit} bytes.", "zh-CN": "请求超过 {limit} 字节。"},
    Code.THROTTLED: {"en": "Too many attempts; try again in {seconds} s.", "zh-CN": "尝试次数过多,请在 {seconds} 秒后重试。"},
    Code.SEARCH_BEHIND: {"en": "The index is catching up; try again shortly.", "zh-CN": "索引正在更新,请稍后再试。"},
    Code.SEARCH_UNAVAILABLE: {"en": "Search is not available just now.", "zh-CN": "搜索暂时不可用。"},
    Code.UNSUPPORTED_MEDIA_TYPE: {"en": "Send application/json.", "zh-CN": "请使用 application/json。"},
    Code.NOT_ACCEPTABLE: {"en": "Accept application/json or application/graphql-response+json.", "zh-CN": "请接受 application/json 或 application/graphql-response+json。"},
    Code.UNKNOWN_DOCUMENT: {"en": "This document is not registered here.", "zh-CN": "该查询文档未登记。"},
    Code.TIMED_OUT: {"en": "This took too long and was given up; after a change, ask again with the same idempotency key.", "zh-CN": "处理超时,已放弃;如为修改操作,请用同一幂等键重试。"},
    Code.INTERNAL: {"en": "Something went wrong on our side; the request id is {request}.", "zh-CN": "服务器内部错误,请求编号 {request}。"},
}  # fmt: skip

LOCALES = ("zh-CN", "en")


class DomainError(Exception):
    """Root of everything expected. Its text is for people, its code for programs."""


class Unfit(DomainError):
    """The database and this program, or its keyring, don't belong together; the text names what and the remedy."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: `field` is a dotted path such as `channels.0.value`."""

    code: Code
    field: str | None = None
    params: dict[str, object] = dataclasses.field(default_factory=dict)

    def message(self, locale: str) -> str:
        """The text for people, in one of LOCALES (any other falls back to en)."""
        texts = MESSAGES[self.code]
        template = texts.get(locale, texts["en"])
        params = {
            key: value.get(locale, value.get("en")) if isinstance(value, dict) else value
            for key, value in self.params.items()
        }
        return template.format(**{"field": self.field or "input", **params})


class Invalid(DomainError):
    """The input can't be accepted as it is; nothing was changed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(", ".join(f"{p.code.value}({p.field})" for p in problems))
        self.problems = tuple(problems)

    @classmethod
    def because(cls, code: Code, field: str | None = None, **params: object) -> Invalid:
        """Shorthand for a single problem."""
        return cls([Problem(code, field, params)])


class Refused(DomainError):
    """The whole request is refused, whatever its input says."""

    def __init__(self, code: Code, field: str | None = None, **params: object) -> None:
        super().__init__(code.value)
        self.problem = Problem(code, field, params)


class NotSignedIn(Refused):
    """No valid access token came with the request."""

    def __init__(self) -> None:
        super().__init__(Code.UNAUTHENTICATED)


class NotPermitted(Refused):
    """The actor has no right to this step; `action` goes to the journal, not to the client."""

    def __init__(self, action: str, record: str | None = None) -> None:
        super().__init__(Code.NOT_PERMITTED)
        self.action = action
        self.record = record


class Problems:
    """Collects problems while an input is read, so that people see all of them at once."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, code: Code, field: str | None = None, **params: object) -> None:
        """Remember one problem."""
        self.found.append(Problem(code, field, params))

    @staticmethod
    def one(code: Code, field: str | None = None, **params: object) -> Problem:
        """A single problem."""
        return Problem(code, field, params)

    def raise_if_any(self) -> None:
        """Raises Invalid with everything collected."""
        if self.found:
            raise Invalid(self.found)
