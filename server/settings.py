"""Every limit and switch of the server: from flags, from ``ANYBIND_*``, or the defaults here.

``ANYBIND_MAX_BODY_BYTES=1000000 anybind serve DIR`` and ``--max-body-bytes 1000000`` mean the same;
a flag is stronger.
"""

import ipaddress
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 2**20


class Settings(BaseSettings):
    """What the operator decides; what the user decides is in the request."""

    model_config = SettingsConfigDict(env_prefix="ANYBIND_", frozen=True, extra="forbid")

    # where
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(
        default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one"
    )
    insecure: bool = Field(
        default=False,
        description="listen on other addresses than loopback although no keys are asked for",
    )
    root_path: str = Field(default="", description="prefix under which a proxy serves this")
    cors_origins: tuple[str, ...] = Field(
        default=(), description="origins whose pages may call this server; * allows all"
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="names under which this server may be asked beside localhost; * allows all. "
        "By default checked only on loopback without keys",
    )
    api_keys_file: Path | None = Field(
        default=None, description="keys that requests must bring; `anybind serve-key new` writes it"
    )
    rate: float = Field(
        default=0,
        ge=0,
        description="searches, embeddings and answers a second for each key; 0: no limit",
    )
    burst: int = Field(default=20, ge=1, description="requests at once, before the rate counts")

    # how much at once
    max_searches: int = Field(
        default=32, ge=1, description="searches and embeddings in work or waiting; more get 429"
    )
    max_answers: int = Field(
        default=32, ge=1, description="answers in work or waiting; more get 429"
    )
    max_items: int = Field(
        default=64, ge=1, description="items and pictures of items in work or waiting; more get 429"
    )
    max_fetches: int = Field(
        default=16, ge=1, description="URLs fetched and decoded at once; more wait"
    )
    answer_batch: int = Field(default=8, ge=1, description="answers drawn at once")
    encode_batch: int = Field(
        default=0, ge=0, description="inputs encoded at once; 0: what the encoder is fastest with"
    )
    decoders: int = Field(
        default=0, ge=0, description="processes that decode media; 0: one a core, at most 4"
    )
    embedding_cache_bytes: int = Field(
        default=64 * MIB,
        ge=0,
        description="memory for the vectors of repeated queries; 0 keeps none",
    )

    # how large
    max_body_bytes: int = Field(default=64 * MIB, ge=1, description="of a request")
    upload_seconds: float = Field(
        default=120, gt=0, description="time to receive the body of a request"
    )
    max_parts: int = Field(default=16, ge=1, description="inputs of one query")
    max_queries: int = Field(default=64, ge=1, description="queries of one request")
    max_k: int = Field(default=10_000, ge=1, description="neighbours of one query")
    max_results: int = Field(
        default=100_000, ge=1, description="neighbours of all queries of one request"
    )
    max_tokens: int = Field(default=512, ge=1, description="tokens of an answer")
    max_turns: int = Field(default=64, ge=1, description="earlier turns of a conversation")
    max_text: int = Field(
        default=20_000, ge=1, description="characters of a text, question or history"
    )

    # hostile media
    decode_seconds: float = Field(default=30, gt=0, description="time to decode one input")
    decode_bytes: int = Field(
        default=2048 * MIB, ge=256 * MIB, description="memory to decode one input"
    )
    allow_url_fetch: bool = Field(
        default=False, description="fetch inputs that are given as URLs, from public addresses"
    )
    fetch_seconds: float = Field(
        default=10, gt=0, description="time to fetch a URL, redirects included"
    )
    fetch_bytes: int = Field(default=32 * MIB, ge=1, description="of a fetched file")

    # the rest
    no_originals: bool = Field(
        default=False,
        description="give out only the small pictures that an index keeps, not those it was made "
        "from",
    )
    log_json: bool = Field(default=False, description="log lines as JSON")
    shutdown_seconds: float = Field(
        default=30, ge=0, description="time that running requests get when the server stops"
    )

    @field_validator("root_path")
    @classmethod
    def _rooted(cls, value: str) -> str:
        """Empty, or with a slash in front and none behind."""
        return "/" + value.strip("/") if value.strip("/") else ""


def is_loopback(host: str) -> bool:
    """Whether an address leads to this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
