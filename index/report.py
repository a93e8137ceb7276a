"""The report of a generation: what was built and how good it is, as JSON and as one HTML page.

The page needs nothing but itself: style and drawings are inside it, and it runs no script.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape

from ..encoders.modality import Modality
from .manifest import Counts, EncoderId, Generation, Json, SourceInfo
from .measure import Figures
from .sources.base import NOUN_OF, count

COLOURS = ("#2f6fed", "#e0662f", "#2a9d6f", "#a14fc4", "#c79a1b", "#d13f6e", "#2899b5", "#7a7f87")
PLOT_WIDTH, PLOT_HEIGHT, PLOT_FOOT = 720, 200, 26  # px; the foot holds the axis labels


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One step of the search for nprobe."""

    nprobe: int
    recall_at_10: Mapping[str, float]  # by query modality


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything ``report.json`` holds."""

    generation: Generation
    encoder: EncoderId
    modality: str  # of the indexed items
    source: SourceInfo
    counts: Counts
    errors: Mapping[str, int]  # skipped items by reason, the commonest first
    rows: int  # vectors in the index
    recall_target: float  # recall@10 that every query modality had to reach
    queries: Mapping[str, Figures]  # by query modality
    front: Sequence[Probe]  # what each nprobe tried gave; empty for an exact index
    similarity_edges: Sequence[float]  # bins of the cosine with the nearest item
    similarity_counts: Mapping[str, Sequence[int]]  # queries in each bin, by modality
    build: Mapping[str, Json]  # seconds and rates of the steps
    cpus: int  # of the machine that measured
    faiss: str  # version
    created: str  # when the build began, UTC
    anybind: str  # version

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    def infos(self) -> str:
        """The facts that clip-retrieval keeps beside an index, under the names its users know."""
        slowest = max(self.queries.values(), key=lambda figures: figures.p50_ms)
        facts = {
            "index_key": self.generation.factory,
            "index_param": ",".join(f"{k}={v}" for k, v in self.generation.search.items()),
            "index_path": self.generation.index,
            "size in bytes": self.generation.bytes,
            "nb vectors": self.rows,
            "vectors dimension": self.encoder.dim,
            "compression ratio": 4 * self.rows * self.encoder.dim / self.generation.bytes,
            "avg_search_speed_ms": slowest.p50_ms,
            "10-recall@10": self.generation.recall_at_10,
        }
        return json.dumps(facts, indent=1) + "\n"

    def to_html(self) -> str:
        """The report as one self-contained page."""
        colours = dict(zip(self.queries, COLOURS * len(self.queries), strict=False))
        title = f"{self.modality} index, generation {self.generation.number}"
        return _PAGE.format(
            title=escape(title),
            style=_STYLE,
            lead=escape(
                f"{count(self.rows, NOUN_OF[Modality(self.modality)])} as vectors of "
                f"{self.encoder.dim} floats by {self.encoder.name}, "
                f"from {self.source.kind}, {self.created}"
            ),
            cards="".join(_cards(self)),
            queries=_table(
                ("query", "queries", "recall@10", "p50 ms", "p95 ms", "batch queries/s", "gap"),
                [
                    (
                        _Html(f'<i style="background:{colours[name]}"></i>{escape(name)}'),
                        f.queries,
                        f"{f.recall_at_10:.4f}",
                        f"{f.p50_ms:.3f}",
                        f"{f.p95_ms:.3f}",
                        f"{f.batch_qps:,.0f}",
                        f"{f.modality_gap:.3f}",
                    )
                    for name, f in self.queries.items()
                ],
            ),
            histogram=_histogram(self.similarity_edges, self.similarity_counts, colours),
            front=_front(self),
            build=_table(("step", "value"), [(k, _number(v)) for k, v in self.build.items()]),
            errors=_table(("reason", "items"), [(k, f"{v:,}") for k, v in self.errors.items()])
            if self.errors
            else "<p>No item was skipped.</p>",
            identity=_table(
                ("what", "value"),
                [
                    ("encoder", self.encoder.name),
                    ("fingerprint", self.encoder.fingerprint),
                    ("source", f"{self.source.kind}: {', '.join(self.source.input)}"),
                    ("FAISS", f"{self.faiss}, {self.generation.factory}"),
                    ("index sha256", self.generation.sha256),
                    ("machine", f"{self.cpus} CPUs"),
                    ("anybind", self.anybind),
                ],
            ),
        )


class _Html(str):
    """Text that is markup already."""


def _cards(report: Report) -> Iterator[str]:
    """The figures a reader looks for first."""
    search = ", ".join(f"{k} {v}" for k, v in report.generation.search.items())
    slowest = max(figures.p50_ms for figures in report.queries.values())
    for value, label in (
        (f"{report.generation.recall_at_10:.3f}", f"recall@10, target {report.recall_target}"),
        (f"{slowest:.2f} ms", "one query, median"),
        (report.generation.factory, search or "exact"),
        (_bytes(report.generation.bytes), "index file"),
        (f"{report.counts.corrupt:,}", f"skipped of {report.counts.input:,}"),
    ):
        yield f"<div class=card><b>{escape(value)}</b><span>{escape(label)}</span></div>"


def _front(report: Report) -> str:
    """What each nprobe gave, the chosen one marked; nothing for an exact index."""
    if not report.front:
        return "<p>The index is exact: every query is compared with every vector.</p>"
    chosen = report.generation.search.get("nprobe")
    names = list(report.queries)
    return _table(
        ("nprobe", *(f"recall@10, {name}" for name in names), ""),
        [
            (
                probe.nprobe,
                *(f"{probe.recall_at_10[name]:.4f}" for name in names),
                "chosen" if probe.nprobe == chosen else "",
            )
            for probe in report.front
        ],
    )


def _histogram(
    edges: Sequence[float], counts: Mapping[str, Sequence[int]], colours: Mapping[str, str]
) -> str:
    """Shares of queries by the cosine with their nearest item, one outline a modality."""
    low, high = edges[0], edges[-1]
    shares = {name: [n / max(1, sum(row)) for n in row] for name, row in counts.items()}
    top = max(max(row) for row in shares.values())
    floor = PLOT_HEIGHT - PLOT_FOOT

    def x(value: float) -> float:
        return PLOT_WIDTH * (value - low) / (high - low)

    parts = []
    for name, row in shares.items():
        steps = [f"M0,{floor}"]
        for left, right, share in zip(edges[:-1], edges[1:], row, strict=True):
            y = floor - (floor - 8) * share / top
            steps.append(f"L{x(left):.1f},{y:.1f}L{x(right):.1f},{y:.1f}")
        steps.append(f"L{PLOT_WIDTH},{floor}Z")
        parts.append(
            f'<path d="{"".join(steps)}" fill="{colours[name]}" fill-opacity=".22" '
            f'stroke="{colours[name]}" stroke-width="1.5"><title>{escape(name)}</title></path>'
        )
    parts.append(f'<line x1="0" x2="{PLOT_WIDTH}" y1="{floor}" y2="{floor}" class="axis"/>')
    for i in range(6):
        value = low + (high - low) * i / 5
        anchor = "start" if i == 0 else "end" if i == 5 else "middle"
        parts.append(
            f'<text x="{x(value):.1f}" y="{PLOT_HEIGHT - 8}" text-anchor="{anchor}">'
            f"{value:.2f}</text>"
        )
    return (
        f'<svg viewBox="0 0 {PLOT_WIDTH} {PLOT_HEIGHT}" role="img" '
        f'aria-label="Cosine of queries with their nearest item">{"".join(parts)}</svg>'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An HTML table; every cell is escaped unless it is markup."""

    def cell(value: object) -> str:
        return value if isinstance(value, _Html) else escape(str(value))

    body = "".join(
        f"<tr>{''.join(f'<td>{cell(value)}</td>' for value in row)}</tr>" for row in rows
    )
    header = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<div class=wide><table><tr>{header}</tr>{body}</table></div>"


def _number(value: Json) -> str:
    """A figure for reading: three digits after the point, thousands apart."""
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _bytes(n: float) -> str:
    """A size in the unit that keeps it short."""
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #667; --line: #dde1e8; --card: #f5f7fa;
  --page: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa3b2; --line: #323a47;
  --card: #1d232d; --page: #141920 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 860px; margin: 40px auto; padding: 0 20px }
h1 { font-size: 26px; margin: 0 } h2 { font-size: 17px; margin: 36px 0 8px }
p, .card span, th { color: var(--soft) }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 24px }
.card { background: var(--card); border-radius: 10px; padding: 12px 16px; flex: 1 1 130px }
.card b { display: block; font-size: 20px; overflow-wrap: anywhere } .card span { font-size: 13px }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 500; font-size: 13px }
td, th { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
td i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 8px }
svg { width: 100%; height: auto } svg text { fill: var(--soft); font-size: 12px }
.axis { stroke: var(--line) }
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>
<body><h1>{title}</h1><p>{lead}</p><div class=cards>{cards}</div>
<h2>By query modality</h2>{queries}
<p>Recall is the share of the ten exact neighbours that the index returns. The gap is the distance
between the centroids of the queries and of the index.</p>
<h2>Cosine with the nearest item</h2>{histogram}
<h2>Lists visited</h2>{front}
<h2>Build</h2>{build}
<h2>Skipped items</h2>{errors}
<h2>Identity</h2>{identity}
</body></html>
"""
