"""Requests as the library takes them: bodies of JSON or of forms, and the parts in them.

A form has the fields of the JSON body by their names, texts and files under the name of their
modality (``-F image=@beach.jpg -F text=red``), with ``minus.`` in front of those that are taken
away, and weights as the command line has them (``-F weight=image=0.4``). Lists and objects are
JSON.
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException

from ..errors import UsageError
from ..parts import EMBEDDING, ID, KINDS, Given, Weight, parse_weight, signed_weights
from .problems import MOST_ERRORS, Problem, in_a_line
from .schemas import REFERENCE, TEXT, InputModel
from .settings import Settings

Model = TypeVar("Model", bound=BaseModel)

MINUS = "minus."  # in front of the name of a form field: the part is taken away
WEIGHT = "weight"  # a form field with the weight of parts
FORM_FIELD_BYTES = 2**20  # of a field that is no file
FORM_FIELDS = 64
LARGE_BYTES = 2**18  # of a body or a file: from here on it is read in a thread
MOST_VALUES = 2_000_000  # of a body: 64 queries of 16 vectors of 1,024 numbers have a million
MOST_QUOTES = 200_000  # of a body
UTF_8 = frozenset({"utf-8", "utf8"})


@dataclass(frozen=True)
class Url:
    """Where a medium is to be fetched."""

    address: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a query, before it is decoded."""

    modality: str  # of KINDS
    value: str | bytes | list[float] | int | Url  # a text is str, a file bytes
    weight: float


async def read_body(request: Request, model: type[Model], settings: Settings) -> Model:
    """The body of a request, JSON or a form, checked.

    Raises:
        ValidationError: A field is missing, unknown or wrong.
        UsageError: A form's weights do not fit its parts.
        Problem: The body is neither (415), or a form that cannot be read (400).
    """
    media_type, options = parse_options_header(request.headers.get("content-type"))
    kind = media_type.decode("latin-1")
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in UTF_8:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is written in {charset[:40]!r}; send UTF-8",
            kind="media-type",
        )
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        try:
            async with request.form(
                max_files=settings.max_parts,
                max_fields=FORM_FIELDS,
                max_part_size=FORM_FIELD_BYTES,
            ) as form:
                return model.model_validate(await _fields(form, model))
        except MultiPartException as error:
            raise Problem(
                HTTPStatus.BAD_REQUEST, f"the form cannot be read: {error.message}", kind="form"
            ) from error
    if kind not in ("", "application/json", "text/plain") and not kind.endswith("+json"):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is {kind}; send application/json or multipart/form-data",
            kind="media-type",
        )
    return await _validated(await request.body(), model)


async def read_json(request: Request, model: type[Model]) -> Model:
    """The body of a request as JSON, whatever its Content-Type says.

    Raises:
        Problem: It is no JSON, or a field is missing, unknown or wrong (400, as the servers that
            are spoken like answer).
    """
    try:
        return await _validated(await request.body(), model)
    except ValidationError as error:
        few = error.error_count() <= MOST_ERRORS
        place = ".".join(str(step) for step in error.errors()[0]["loc"]) if few else ""
        raise Problem(
            HTTPStatus.BAD_REQUEST, in_a_line(error), kind="schema", field=place or None
        ) from error


async def _validated(body: bytes, model: type[Model]) -> Model:
    """A body of JSON, checked; a large one in a thread.

    Raises:
        Problem: It is made of more pieces than any request needs, each of which would cost far more
            memory than it has bytes (413).
        ValidationError: A field is missing, unknown or wrong.
    """
    if len(body) < LARGE_BYTES:
        return model.model_validate_json(body)
    if body.count(b",") > MOST_VALUES or body.count(b'"') > MOST_QUOTES:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body has more than {MOST_VALUES:,} values or {MOST_QUOTES // 2:,} strings; "
            "send several requests",
            kind="too-large",
        )
    return await asyncio.to_thread(model.model_validate_json, body)


async def read_parts(
    inputs: Sequence[InputModel], minus: Sequence[InputModel], settings: Settings
) -> list[Part]:
    """As :func:`parts_of`, without holding up other requests while large data is decoded."""
    large = any(len(given.data or "") >= LARGE_BYTES for given in (*inputs, *minus))
    if large:
        return await asyncio.to_thread(parts_of, inputs, minus, settings)
    return parts_of(inputs, minus, settings)


def parts_of(
    inputs: Sequence[InputModel], minus: Sequence[InputModel], settings: Settings
) -> list[Part]:
    """The parts of a query with their signed weights, those that are taken away last.

    Raises:
        UsageError: There are more than the server allows, a text is longer, or ``data`` is no
            base64.
    """
    if len(inputs) + len(minus) > settings.max_parts:
        raise UsageError(
            f"a query of {len(inputs) + len(minus)} inputs; this server takes at most "
            f"{settings.max_parts}"
        )
    return [
        *(_part(given, given.weight, settings) for given in inputs),
        *(_part(given, -given.weight, settings) for given in minus),
    ]


def check_text(text: str, what: str, settings: Settings) -> None:
    """Refuse a text that is longer than the server allows.

    Raises:
        UsageError: With both lengths.
    """
    if len(text) > settings.max_text:
        raise UsageError(
            f"the {what} has {len(text)} characters; this server reads at most {settings.max_text}"
        )


def decode_base64(data: str) -> bytes:
    """The bytes of base64 text or of a ``data:`` URL.

    Raises:
        UsageError: It is neither, or empty.
    """
    if data[:5].lower() == "data:":
        head, comma, data = data.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise UsageError("a data: URL of an input looks like data:image/png;base64,iVBORw0K…")
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("the data of an input is no base64 (RFC 4648, section 4)") from None
    if not content:
        raise UsageError("the data of an input is empty; send the content of the file")
    return content


async def _fields(form: FormData, model: type[BaseModel]) -> dict[str, object]:
    """The fields of a form as those of the JSON body of a model."""
    given: list[Given] = []
    weights: list[Weight] = []
    fields: dict[str, object] = {}
    for name, value in form.multi_items():
        kind = name.removeprefix(MINUS)
        if kind in KINDS:
            content = await value.read() if isinstance(value, UploadFile) else value
            given.append(Given(kind=kind, value=content, minus=kind != name))
        elif isinstance(value, UploadFile):
            raise UsageError(f"the file {name} has no modality's name; call it image, audio, ...")
        elif name == WEIGHT:
            weights.append(parse_weight(value))
        elif name in fields:
            raise UsageError(f"{name} is given twice")
        else:
            fields[name] = _json_or_text(name, value, model)
    parts: dict[str, list[dict[str, object]]] = {}
    for part, weight in zip(given, signed_weights(given, weights), strict=True):
        if part.minus:
            parts.setdefault("minus", []).append(_input(part, -weight))
        else:
            parts.setdefault("inputs", []).append(_input(part, weight))
    for name in parts.keys() & fields.keys():
        raise UsageError(f"{name} stand in a field, and others in fields of their own; choose one")
    return {**fields, **parts}


def _there(schema: dict[str, Any]) -> dict[str, Any]:
    """What an optional field may be when it is given: a form has no null."""
    kinds = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else schema


def form_of(model: type[BaseModel]) -> dict[str, object]:
    """How OpenAPI shows a form with the fields of a model, as :func:`read_body` takes it."""
    part = InputModel.model_json_schema(ref_template=REFERENCE)["properties"]
    whole = model.model_json_schema(ref_template=REFERENCE)
    shown: dict[str, dict[str, object]] = {}
    for prefix, what in (("", "a part of the query"), (MINUS, "a part that is taken away")):
        for kind in KINDS:
            file = {"type": "string", "format": "binary"}
            shown[prefix + kind] = {
                "type": "array",
                "items": _there(part[kind]) if kind in part else file,
                "description": f"{what}; the field may be repeated",
            }
    shown[WEIGHT] = {
        "type": "array",
        "items": {"type": "string"},
        "description": "audio=0.6: of all parts of a modality; text:0=0.5: of one of them",
        "examples": [["audio=0.6"]],
    }
    shown |= whole["properties"]
    as_json = [
        EMBEDDING,
        MINUS + EMBEDDING,
        *(name for name in model.model_fields if not _is_plain(whole["properties"][name])),
    ]
    return {
        "schema": {
            "type": "object",
            "properties": shown,
            "required": whole.get("required", []),
            "additionalProperties": False,
        },
        "encoding": {name: {"contentType": "application/json"} for name in as_json},
    }


def _is_plain(schema: Mapping[str, Any]) -> bool:
    """Whether a value is a text, a number or a switch."""
    kinds = {each.get("type") for each in schema.get("anyOf", [schema])}
    return kinds <= {"string", "number", "integer", "boolean", "null"}


def _input(part: Given, weight: float) -> dict[str, object]:
    """A part of a form as in the JSON body."""
    value = part.value
    if part.kind == TEXT:
        if isinstance(value, bytes):
            value = _utf8(value)
        return {"text": value, "weight": weight}
    if part.kind in (ID, EMBEDDING):
        return {part.kind: _json(part.kind, value), "weight": weight}
    return {"modality": part.kind, "data": value, "weight": weight}


def _json_or_text(name: str, value: str, model: type[BaseModel]) -> object:
    """The value of a form field: as it is where a text is wanted, else as JSON."""
    field = model.model_fields.get(name)
    if field is None or field.annotation in (str, str | None):
        return value
    return _json(name, value)


def _json(name: str, value: object) -> object:
    if not isinstance(value, str):
        raise UsageError(f"{name} is given as a file; give it as a field")
    try:
        return from_json(value)
    except ValueError:
        return value  # the schema says what is wrong with it


def _utf8(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError("the file of a text is not UTF-8") from None


def _part(given: InputModel, weight: float, settings: Settings) -> Part:
    value: str | bytes | list[float] | int | Url
    if given.text is not None:
        check_text(given.text, "text", settings)
        modality, value = TEXT, given.text
    elif given.embedding is not None:
        modality, value = given.modality or EMBEDDING, given.embedding
    elif given.id is not None:
        modality, value = ID, given.id
    else:
        assert given.modality is not None  # the schema asks for it
        modality = given.modality
        if given.url is not None:
            value = Url(given.url)
        else:
            assert given.data is not None
            value = given.data if isinstance(given.data, bytes) else decode_base64(given.data)
    return Part(modality=modality, value=value, weight=weight)
