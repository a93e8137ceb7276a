"""anybind.index.report: what was built, as JSON and as a page."""

import json
from dataclasses import replace
from html.parser import HTMLParser

from anybind.index.manifest import Counts, Generation, SourceInfo
from anybind.index.measure import Figures
from anybind.index.report import Probe, Report

from .folders import ENCODER

FIGURES = Figures(
    queries=200,
    recall_at_10=0.9712,
    p50_ms=0.25,
    p95_ms=0.5,
    batch_qps=4321.0,
    modality_gap=0.61,
    similarity=0.3,
)
REPORT = Report(
    generation=Generation(
        number=1,
        index="generations/0001/image.index",
        factory="IVF128,SQfp16",
        search={"nprobe": 16},
        recall_at_10=0.9712,
        sha256="ab" * 32,
        bytes=2_500_000,
    ),
    encoder=ENCODER,
    modality="image",
    source=SourceInfo(kind="webdataset", input=("a&b/{00000..00004}.tar",)),
    counts=Counts(input=12_000, indexed=11_990, corrupt=10),
    errors={"<script>alert(1)</script>": 10},
    rows=11_990,
    recall_target=0.95,
    queries={"text": FIGURES, "image": replace(FIGURES, p50_ms=0.2)},
    front=[
        Probe(nprobe=8, recall_at_10={"text": 0.91, "image": 0.93}),
        Probe(nprobe=16, recall_at_10={"text": 0.9712, "image": 0.9712}),
    ],
    similarity_edges=[0.0, 0.5, 1.0],
    similarity_counts={"text": [150, 50], "image": [0, 200]},
    build={"images_per_second": 123.4567, "workers": 2},
    cpus=2,
    faiss="1.15.1",
    created="2026-11-21T10:00:00Z",
    anybind="0.1.0",
)


class Page(HTMLParser):
    """Checks that tags close in order, and collects names and text."""

    VOID = {"meta", "line", "br"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_json_holds_every_field() -> None:
    """The dataclasses, as JSON spells them."""
    facts = json.loads(REPORT.to_json())
    assert facts["queries"]["text"]["recall_at_10"] == 0.9712
    assert facts["front"][1] == {"nprobe": 16, "recall_at_10": {"text": 0.9712, "image": 0.9712}}
    assert facts["errors"] == REPORT.errors


def test_infos_bear_the_names_that_clip_retrieval_keeps() -> None:
    """Keys of autofaiss's index_infos; the ratio is 4 bytes a float over the file, by hand."""
    infos = json.loads(REPORT.infos())
    assert infos["index_key"] == "IVF128,SQfp16" and infos["index_param"] == "nprobe=16"
    assert infos["nb vectors"] == 11_990 and infos["size in bytes"] == 2_500_000
    assert infos["compression ratio"] == 11_990 * 32 * 4 / 2_500_000
    assert infos["avg_search_speed_ms"] == 0.25


def test_the_page_is_well_formed_self_contained_and_escaped() -> None:
    """Tags close, nothing is fetched or run, and a hostile file name stays text."""
    html = REPORT.to_html()
    page = Page()
    page.feed(html)
    assert page.open == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "http" not in html and "url(" not in html
    assert "<script>alert(1)</script>" in page.text


def test_the_page_shows_the_figures() -> None:
    """Formatted by hand."""
    page = Page()
    page.feed(REPORT.to_html())
    for shown in ("0.971", "0.250", "4,321", "123.457", "2.5 MB", "nprobe 16", "chosen", "0.610"):
        assert shown in page.text
    assert page.tags.count("path") == 2  # an outline a modality


def test_an_exact_index_has_no_lists_to_show() -> None:
    """No front."""
    exact = replace(REPORT, front=[], generation=replace(REPORT.generation, search={}), errors={})
    html = exact.to_html()
    assert "The index is exact" in html and "No item was skipped" in html
