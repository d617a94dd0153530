"""Events to values: what a text means, and what it costs.

It knows documents, anchors and merges; how a scalar is read stands in `scalars.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from yaml import YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.go_yaml.scalars import NotThatKind, as_key, as_value, plain, tagged
from fluxless.limits import YAML_ALIASED, YAML_DEPTH, YAML_NODES

_FEW, _MANY = 400_000, 4_000_000
"""Go's bounds of a small and a very large document, in values."""


class ManifestProblem(Problem):
    """YAML that cannot be read; the message names file and line."""

    def __init__(self, message: str, origin: str, next_step: str = "correct the YAML") -> None:
        super().__init__(Failure(FailureClass.BUILD, message, origin=origin, next_step=next_step))


@dataclass(slots=True)
class _Anchored:
    """What an anchor names: how many values and characters it is when expanded, and how many levels; nothing before it
    has ended.
    """

    value: Any = None
    size: int = 0
    length: int = 0
    height: int = 0
    ended: bool = False


@dataclass(slots=True)
class _Open:
    """A list or mapping that has begun, after `before` other values and `begun` characters."""

    value: Any
    mapping: bool
    before: int
    begun: int
    anchored: _Anchored | None
    height: int = 1
    key: Any = None
    own: set[str] | None = None


class _Merge:
    """The key `<<`: its value is taken over into the mapping."""


_MERGE = _Merge()
_MERGE_TAG = "tag:yaml.org,2002:merge"


class Builder:
    """The values of one text, and what they cost so far.

    `total` bounds the values of the whole text; those of one document or field are bounded by YAML_NODES besides.
    A long text costs memory once, however many aliases name it, until somebody writes it: so its characters count.
    """

    def __init__(
        self, parser: Any, name: str, *, strict: bool = False, total: int = YAML_NODES, aliases: bool = True
    ) -> None:
        self._parser = parser
        self._name = name
        self._strict = strict
        self._total = total
        self._aliases = aliases
        self._anchors: dict[str, _Anchored] = {}
        self._before = self._count = self._aliased = 0
        self._length = self._stood_for = 0

    def next(self) -> Any:
        """The next event, or None after the last. Raises `ManifestProblem`."""
        try:
            return self._parser.get_event()
        except (YAMLError, ValueError) as error:
            mark = getattr(error, "problem_mark", None)
            words = getattr(error, "problem", None) or getattr(error, "reason", None) or "not readable"
            raise self._problem(str(words), mark) from None

    def enter(self) -> bool:
        """Go to the next document; whether there is one. Raises `ManifestProblem`."""
        while (event := self.next()) is not None:
            if isinstance(event, DocumentStartEvent):
                if event.version not in {None, (1, 1)}:
                    raise self._problem("found incompatible YAML document", event.start_mark)
                self._anchors = {}
                self._before += self._count
                self._count, self._aliased = 1, 0  # Go counts the document as well
                return True
        return False

    def document(self) -> Any:
        """The value of the document that was entered, read to its end. Raises `ManifestProblem`."""
        value = self.value(self.next())
        self.next()
        return value

    def key(self, event: Any) -> str:
        """The key that the event is. Raises `ManifestProblem`."""
        kind = type(event)
        found = self._scalar(event) if kind is ScalarEvent else self._alias(event, 0)[0] if kind is AliasEvent else {}
        if type(found) is str:
            return found
        if isinstance(found, dict | list):
            raise self._problem("a mapping or list cannot be a key", event.start_mark)
        return str(self._checked(as_key, found, event))

    def value(self, event: Any) -> Any:
        """The value that begins with the event. Raises `ManifestProblem`."""
        stack: list[_Open] = []
        top: _Open | None = None
        most = min(self._total - self._before, self._count + YAML_NODES)
        while True:
            kind = type(event)
            if self._count > most:
                raise self._problem("too many values", event.start_mark, "split the file")
            if top is not None and top.key is None and top.mapping and kind is not MappingEndEvent:
                top.key = self._key_in(top, event)
            elif kind is ScalarEvent:
                scalar = self._scalar(event)
                if type(scalar) is not str:
                    scalar = self._checked(as_value, scalar, event)
                if top is None:
                    return scalar
                self._put(top, scalar, 0, event)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                top = self._begin(event, kind is MappingStartEvent, top, len(stack))
                stack.append(top)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                done = self._end(stack.pop(), event)
                if not stack:
                    return done.value
                top = stack[-1]
                self._put(top, done.value, done.height, event)
            elif kind is AliasEvent:
                found, height = self._alias(event, len(stack))
                if top is None:
                    return found
                self._put(top, found, height, event)
            else:
                raise self._problem("there is nothing", event.start_mark)
            event = self.next()

    def _begin(self, event: Any, mapping: bool, top: _Open | None, depth: int) -> _Open:
        if depth >= YAML_DEPTH:
            raise self._problem(f"nested deeper than {YAML_DEPTH}", event.start_mark, "nest less deeply")
        before = self._count
        if mapping or top is None or top.key is not _MERGE:  # Go goes into a list of merges without a step of its own
            self._count += 1
        return _Open({} if mapping else [], mapping, before, self._length, self._anchor(event))

    def _end(self, ended: _Open, event: Any) -> _Open:
        if ended.anchored is not None:
            size, length = self._count - ended.before, self._length - ended.begun
            self._note(ended.anchored, ended.value, size, length, ended.height)
        self._weigh(event)
        return ended

    def _key_in(self, top: _Open, event: Any) -> Any:
        if type(event) is ScalarEvent and event.value == "<<" and (event.implicit[0] or event.tag == _MERGE_TAG):
            return _MERGE
        key = self.key(event)
        if self._strict:
            top.own = top.own or set()
            if key in top.own:
                raise self._problem(f"key {key!r} stands twice", event.start_mark)
            top.own.add(key)
        return key

    def _put(self, top: _Open, value: Any, height: int, event: Any) -> None:
        if height >= top.height:
            top.height = height + 1
        key = top.key
        if not top.mapping:
            top.value.append(value)
        elif key is not _MERGE:
            top.value[key] = value
        else:
            several = isinstance(value, list) and type(event) is not AliasEvent
            for each in reversed(value) if several else [value]:  # what is named first wins
                if not isinstance(each, dict):
                    words = "map merge requires map or sequence of maps as the value"
                    raise self._problem(words, event.start_mark)
                top.value.update(each)
        top.key = None

    def _scalar(self, event: Any) -> Any:
        """As Go resolves it, before JSON. Raises `ManifestProblem`."""
        self._count += 1
        self._length += len(event.value)
        if event.tag is not None:
            found = self._checked(lambda text: tagged(event.tag, text), event.value, event)
        else:
            found = plain(event.value) if event.implicit[0] else event.value
        if event.anchor is not None:
            self._note(self._anchor(event), found, 1, len(event.value), 0)
        return found

    def _alias(self, event: Any, depth: int) -> tuple[Any, int]:
        """A copy of what it names, and its height. Raises `ManifestProblem`."""
        found = self._anchors.get(event.anchor)
        if not self._aliases or found is None or not found.ended:
            words = "an anchor contains itself" if found else "an unknown anchor is referenced"
            raise self._problem(words if self._aliases else "aliases are not supported here", event.start_mark)
        self._count += 1 + found.size
        self._aliased += found.size
        self._length += found.length
        self._stood_for += found.length
        if self._stood_for > YAML_ALIASED:
            words = f"aliases stand for more than {YAML_ALIASED:,} characters"
            raise self._problem(words, event.start_mark, "use fewer aliases")
        self._weigh(event)
        if depth + found.height > YAML_DEPTH:
            raise self._problem(f"nested deeper than {YAML_DEPTH}", event.start_mark, "nest less deeply")
        if isinstance(found.value, dict | list):
            return _copied(found.value), found.height
        return self._checked(as_value, found.value, event), 0

    def _weigh(self, event: Any) -> None:
        """Go's rule of excessive aliasing. Raises `ManifestProblem`."""
        if self._aliased > 100 and self._count > 1000 and self._aliased / self._count > _allowed(self._count):
            raise self._problem("document contains excessive aliasing", event.start_mark, "use fewer aliases")

    def _anchor(self, event: Any) -> Any:
        """A new anchor of the event's name, if it has one."""
        if event.anchor is None or not self._aliases:
            return None
        anchored = self._anchors[event.anchor] = _Anchored()
        return anchored

    @staticmethod
    def _note(anchored: _Anchored | None, value: Any, size: int, length: int, height: int) -> None:
        if anchored is not None:
            anchored.value, anchored.size, anchored.length, anchored.height = value, size, length, height
            anchored.ended = True

    def _checked(self, make: Callable[[Any], Any], scalar: Any, event: Any) -> Any:
        try:
            return make(scalar)
        except NotThatKind as error:
            raise self._problem(str(error), event.start_mark) from None

    def _problem(self, words: str, mark: Any, next_step: str = "correct the YAML") -> ManifestProblem:
        origin = f"{self._name}:{mark.line + 1}" if mark is not None else self._name
        return ManifestProblem(f"not valid YAML: {words}", origin, next_step)


def _allowed(count: int) -> float:
    """The share of a document's values that may come out of aliases: 99 % of a small one, 10 % of a very large one."""
    if count <= _FEW:
        return 0.99
    return 0.10 if count >= _MANY else 0.99 - 0.89 * (count - _FEW) / (_MANY - _FEW)


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if type(value) is list else value
