"""The commands as a person runs them: what is printed where, exit codes, and bad input."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import anybind
from anybind.cli import main

from .answering import write_own_adapter
from .llm_folders import write_base

N = 20


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line a failing command says last, with nothing on stdout and no traceback."""
        assert "Traceback" not in self.err, self.err
        assert not self.out, self.out
        return self.err.strip().splitlines()[-1]


def run(*arguments: str | Path, cwd: Path | None = None) -> Result:
    """Run ``anybind`` as its entry point does, in this process, which has torch in memory."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), chdir(cwd or Path.cwd()):
        code = main([str(argument) for argument in arguments])
    return Result(code=code, out=out.getvalue(), err=err.getvalue())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exported scenes and an index over them, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("shop")
    made = run(
        *("world", "export", "--split", "test", "--limit", str(N)),
        *("--format", "webdataset", "--out", folder / "tars"),
    )
    assert made.code == 0, made.err
    built = run(
        *("build", "--source", "webdataset", "--input", folder / "tars" / "{00000..00000}.tar"),
        *("--out", folder / "index", "--json"),
    )
    assert built.code == 0, built.err
    report = json.loads(built.out)
    assert (report["input"], report["indexed"], report["corrupt"]) == (N, N, 0)
    assert report["state"] == "built" and report["encoded"] == N
    return folder


@pytest.fixture
def picture(shop: Path, tmp_path: Path) -> Path:
    """The fourth picture of the index, as a file."""
    with tarfile.open(shop / "tars" / "00000.tar") as tar:
        name = sorted(n for n in tar.getnames() if n.endswith(".jpg"))[3]
        tar.extract(name, tmp_path, filter="data")
    return tmp_path / name


def test_building_again_encodes_nothing(shop: Path) -> None:
    again = run(
        *("build", "--source", "webdataset", "--input", shop / "tars" / "{00000..00000}.tar"),
        *("--out", shop / "index", "--json"),
    )
    report = json.loads(again.out)
    assert report["state"] == "already built" and report["encoded"] == 0


def test_search_prints_a_table_with_score_caption_and_source(shop: Path, picture: Path) -> None:
    """A picture of the index stands first, with a cosine of 1 to fp16 rounding."""
    found = run("search", shop / "index", "--image", picture, "-k", "3")
    head, first, *rest = found.out.splitlines()
    assert head.split() == ["score", "id", "caption", "source"]
    assert first.split()[:2] == ["1.000", "3"]
    assert first.endswith(f"00000.tar#{picture.name}")
    assert len(rest) == 2


def test_search_json_has_the_documented_shape(shop: Path) -> None:
    found = run("search", shop / "index", "--text", "a red train on snow", "-k", "2", "--json")
    answer = json.loads(found.out)
    assert set(answer) == {"results", "query", "took_ms"}
    assert set(answer["query"]) == {"norm", "weights", "centred"}
    assert [set(hit) for hit in answer["results"]] == [
        {"id", "score", "key", "caption", "url", "image_path", "path", "width", "height"}
    ] * 2
    assert answer["results"][0]["score"] >= answer["results"][1]["score"]


def test_search_by_id_equals_search_by_its_picture(shop: Path, picture: Path) -> None:
    by_id = json.loads(run("search", shop / "index", "--id", "3", "-k", "5", "--json").out)
    by_image = json.loads(
        run("search", shop / "index", "--image", picture, "-k", "5", "--json").out
    )
    ids = [[hit["id"] for hit in answer["results"]] for answer in (by_id, by_image)]
    assert ids[0] == ids[1]


def ids(*arguments: str | Path) -> list[int]:
    """The items a search finds."""
    found = run("search", *arguments, "--json")
    assert found.code == 0, found.err
    return [hit["id"] for hit in json.loads(found.out)["results"]]


def test_a_search_filters_drops_copies_and_pages(shop: Path) -> None:
    """The reference is the same search in Python, and the whole ranking."""
    ab = anybind.load(shop / "index")
    asked = (shop / "index", "--text", "a red train on snow")
    ranking = [hit.id for hit in ab.search(text="a red train on snow", k=N)]
    assert ids(*asked, "-k", "5", "--offset", "3") == ranking[3:8]
    assert ids(*asked, "-k", "5", "--offset", str(N - 2)) == ranking[-2:]
    chosen = [item for item in ranking if item < 7]
    assert ids(*asked, "-k", "5", "--filter", '{"id": {"lt": 7}}') == chosen[:5]
    distinct = [hit.id for hit in ab.search(text="a red train on snow", k=5, dedup=0.9)]
    assert ids(*asked, "-k", "5", "--dedup", "0.9") == distinct
    found = run("search", *asked, "--filter", '{"width": 1}', "--json")
    assert found.code == 0 and json.loads(found.out)["results"] == []
    assert "found nothing: no item passes the filter" in found.err


def test_inputs_mix_with_the_weights_they_are_given(shop: Path, picture: Path) -> None:
    """The reference is the same query in Python; a position decides over its modality, counts what
    is taken away, and turns its sign."""
    asked = ("--text", "red", "--minus", "text=blue", "--image", picture, "--text", "a car")
    weights = ("--weight", "text:1=0.5", "--weight", "text=2", "--weight", "image=0.25")
    answer = json.loads(run("search", shop / "index", *asked, *weights, "--json").out)
    assert answer["query"]["weights"] == [2.0, -0.5, 0.25, 2.0]
    ab = anybind.load(shop / "index")
    inputs = [
        anybind.Input("text", "red", weight=2),
        anybind.Input("text", "blue", weight=-0.5),
        anybind.Input("image", picture, weight=0.25),
        anybind.Input("text", "a car", weight=2),
    ]
    for option, centre in (((), False), (("--centre",), True)):
        expected = [hit.id for hit in ab.search(*inputs, centre=centre, k=20)]
        assert ids(shop / "index", *asked, *weights, *option, "-k", "20") == expected


def test_items_of_the_index_mix_too(shop: Path) -> None:
    """Item 3 plus item 5 less item 5 is item 3; and less itself alone, it comes last."""
    both = ids(shop / "index", "--id", "3", "--id", "5", "--minus", "id=5", "-k", "20")
    assert both[0] == 3
    assert ids(shop / "index", "--minus", "id=3", "-k", "20")[-1] == 3


def test_embed_mixes_into_one_vector(tmp_path: Path) -> None:
    """The reference is a + 0.5 b of the vectors apart; the published way keeps the length."""
    out = tmp_path / "mixed.npy"
    asked = ("embed", "--text", "a dog", "--text", "a cat", "--weight", "text:1=0.5")
    apart = run(*asked[:5], "--json")
    rows = np.array([item["embedding"] for item in json.loads(apart.out)["embeddings"]])
    total = rows[0] + 0.5 * rows[1]
    made = run(*asked, "--mix", "--out", out, "--json")
    np.testing.assert_allclose(np.load(out), [total / np.linalg.norm(total)], atol=1e-6)
    mixture = json.loads(made.out)["mixture"]
    np.testing.assert_allclose(mixture["vector"], np.load(out)[0], atol=1e-6)
    assert abs(mixture["norm"] - np.linalg.norm(total)) < 1e-5
    assert run(*asked, "--mix", "imagebind-llm", "--out", out).code == 0
    np.testing.assert_allclose(np.load(out), [total / 1.5], atol=1e-5)


def test_a_moved_index_still_searches_and_shows(shop: Path, tmp_path: Path, picture: Path) -> None:
    """The sheet is drawn from the thumbnails inside the folder: six pictures and the query."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(shop / "index", moved, symlinks=True)
    sheet = tmp_path / "sheet.png"
    found = run("search", moved, "--image", picture, "-k", "5", "--sheet", sheet)
    assert found.code == 0, found.err
    with Image.open(sheet) as image:
        drawn = np.asarray(image.convert("RGB"))
    with Image.open(picture) as image:
        query = np.asarray(image.convert("RGB").resize((192, 192))).astype(float)
    cell = drawn[sheet_top(drawn) :][:192, 12 : 12 + 192].astype(float)
    assert np.abs(cell - query).mean() < 12


def sheet_top(drawn: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> int:
    """The first row of the query's cell: below the heading, inside the coloured frame."""
    frame = np.array((214, 84, 24))
    rows = np.flatnonzero((drawn[:, 12 + 96] == frame).all(-1))
    return int(rows[0]) + 4


def test_info_and_verify_tell_what_the_folder_holds(shop: Path) -> None:
    facts = json.loads(run("info", shop / "index", "--json").out)
    assert facts["indexed"] == N and facts["encoder"] == "imagebind-mini"
    checked = run("verify", shop / "index", "--json")
    assert checked.code == 0
    assert json.loads(checked.out)["problems"] == []


def test_verify_finds_a_changed_byte(shop: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(shop / "index", damaged, symlinks=True)
    shard = damaged / "img_emb" / "img_emb_0000.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    checked = run("verify", damaged)
    assert checked.code == 1
    assert "img_emb_0000.npy" in checked.out


def test_embed_writes_rows_in_the_order_given(tmp_path: Path, picture: Path) -> None:
    """The reference embeds each alone."""
    out = tmp_path / "rows.npy"
    made = run("embed", "--text", "a dog", "--image", picture, "--text", "a cat", "--out", out)
    assert made.code == 0, made.err
    alone = json.loads(run("embed", "--text", "a cat", "--json").out)["embeddings"][0]
    rows = np.load(out)
    assert rows.shape == (3, 256) and rows.dtype == np.float32
    np.testing.assert_allclose(rows[2], alone["embedding"], atol=1e-6)


def test_world_render_draws_a_sheet(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert run("world", "render", "--ids", "0:6", "--size", "96", "--out", out).code == 0
    with Image.open(out) as image:
        assert image.width > 6 * 96


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("search", "nowhere", "--text", "x"), 1, "no index at nowhere"),
        (("search", "{index}"), 2, "nothing to search with"),
        (("search", "{index}", "--text", "a", "--image", "b.jpg"), 1, "b.jpg"),
        (("search", "{index}", "--text", "a", "--minus", "text=a"), 2, "cancel each other"),
        (("search", "{index}", "--text", "a", "--minus", "blue"), 2, "write it as text=blue"),
        (("search", "{index}", "--minus", "id=x"), 2, "an id is a whole number"),
        (("search", "{index}", "--minus", "id=20"), 2, "ids run from 0 to 19"),
        (("search", "{index}", "--text", "a", "--weight", "text=0"), 2, "all weights are zero"),
        (("search", "{index}", "--text", "a", "--weight", "text=x"), 2, "write it as audio=0.6"),
        (("search", "{index}", "--text", "a", "--weight", "text=nan"), 2, "write it as audio=0.6"),
        (("search", "{index}", "--text", "a", "--weight", "sound=1"), 2, "write it as audio=0.6"),
        (("search", "{index}", "--text", "a", "--weight", "text:x=1"), 2, "a position is a whole"),
        (("search", "{index}", "--text", "a", "--weight", "text:1=1"), 2, "run from 0 to 0"),
        (("search", "{index}", "--text", "a", "--weight", "image=1"), 2, "no image, but text"),
        (("search", "{index}", "--text", ""), 2, "the text is empty"),
        (("search", "{index}", "--text", "a", "-k", "21"), 2, "21 neighbours of an index of 20"),
        (("search", "{index}", "--text", "a", "-k", "0"), 2, "no positive whole number"),
        (("search", "{index}", "--text", "a", "--filter", "width>5"), 2, "is no JSON; write it as"),
        (("search", "{index}", "--text", "a", "--filter", "[]"), 2, "the filter is a list; give"),
        (
            ("search", "{index}", "--text", "a", "--filter", '{{"colour": 1}}'),
            2,
            "there are id, key",
        ),
        (
            ("search", "{index}", "--text", "a", "--dedup", "94"),
            2,
            "dedup is 94.0; give the cosine",
        ),
        (("search", "{index}", "--text", "a", "--offset", "-1"), 2, "is no whole number from 0"),
        (("search", "{index}", "--image", "none.jpg"), 1, "none.jpg"),
        (("search", "{index}", "--text", "a", "--alpha", "1.5"), 2, "alpha is 1.5"),
        (("search", "{index}", "--text", "a", "--cache-k", "3"), 2, "switch it on with --alpha"),
        (
            ("search", "{index}", "--text", "a", "--alpha", "1", "--cache-k", "21"),
            2,
            "21 neighbours of an index of 20",
        ),
        (("ask", "{index}", "", "--text", "a"), 2, "the question is empty"),
        (("ask", "{index}", "why?", "--image", "none.png"), 1, "none.png"),
        (("ask", "{index}", "why?", "--text", "a", "--alpha", "-1"), 2, "alpha is -1.0"),
        (("ask", "{index}", "why?", "--no-cache", "--cache-k", "3"), 2, "leave out --no-cache"),
        (("ask", "{index}", "why?", "--lm", "gpt"), 2, "invalid choice"),
        (("ask", "{index}", "why?", "--lm", "imagebind-llm-7b"), 2, "comes without a base"),
        (("ask", "{index}", "why?", "--base", "x", "--adapter", "no.pth"), 1, "no.pth"),
        (("ask", "{index}", "why?", "--top-p", "0"), 2, "top_p is 0"),
        (("ask", "{index}", "why?", "--json", "--sheet", "x.png"), 2, "unrecognized"),
        (("ask", "{index}"), 2, "QUESTION"),
        (("chat", "{index}", "--lm", "imagebind-llm-7b"), 2, "comes without a base"),
        (("embed",), 2, "nothing to embed"),
        (("embed", "--text", "a", "--minus", "text=b"), 2, "add --mix"),
        (("embed", "--text", "a", "--mix", "best"), 2, "anybind, imagebind-llm"),
        (("embed", "--text", "a", "--mix", "--scaled"), 2, "leave out --scaled"),
        (("embed", "--text", "a", "--minus", "id=1", "--mix"), 2, "knows no ids"),
        (("embed", "--text", "a", "--encoder", "no-such"), 2, "neither a preset"),
        (("info", "nowhere"), 1, "no index at nowhere"),
        (("build", "--source", "folder", "--input", "nowhere", "--out", "x"), 2, "nowhere"),
        (("build", "--source", "zip", "--out", "x"), 2, "invalid choice"),
        (("build", "--source", "folder", "--out", "x", "--tuner", "recall"), 2, "unrecognized"),
        (("weights", "fetch", "nothing"), 2, "nothing"),
        (("weights", "convert", "none.pth", "out.safetensors"), 1, "none.pth"),
        (("world", "render", "--ids", "9", "--out", "x.png"), 2, "no range"),
        (("world", "export", "--split", "none", "--out", "x"), 2, "none"),
    ],
)
def test_wrong_requests_get_one_line_and_a_code(
    shop: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """No traceback, nothing on stdout, exit code 1 for failed work and 2 for wrong usage."""
    filled = [argument.format(index=shop / "index") for argument in arguments]
    result = run(*filled, cwd=tmp_path)
    assert result.code == code, result.err
    assert message in result.complaint


def test_bad_pictures_are_refused_in_one_line(shop: Path, tmp_path: Path, picture: Path) -> None:
    """Cut short, of another kind, empty, and a picture whose header claims 900 million pixels."""
    content = picture.read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.jpg").write_text("I am no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.new("1", (30_000, 30_000)).save(tmp_path / "bomb.png")
    for name in ("cut.jpg", "text.jpg", "empty.jpg", "bomb.png"):
        result = run("search", shop / "index", "--image", tmp_path / name)
        assert result.code == 1
        assert name in result.complaint


def test_another_encoder_is_refused_with_both_names(shop: Path) -> None:
    """The published preparation makes another encoder of the same weights."""
    result = run(
        *("build", "--source", "webdataset", "--input", shop / "tars" / "{00000..00000}.tar"),
        *("--out", shop / "index", "--reference"),
    )
    assert result.code == 1
    assert "imagebind-mini" in result.complaint and "reference" in result.complaint
    assert run("verify", shop / "index").code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "secret"
    folder.mkdir(mode=0)
    result = run("build", "--source", "folder", "--input", folder, "--out", tmp_path / "x")
    assert result.code == 1
    assert "secret" in result.complaint


def test_a_full_disk_is_one_line_and_harms_nothing(shop: Path) -> None:
    """/dev/full refuses every write with the same error a full disk gives."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which Linux has")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "anybind.cli", "info", str(shop / "index")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert run("verify", shop / "index").code == 0


def test_every_help_ends_with_a_line_to_try() -> None:
    for command in (
        "build",
        "search",
        "embed",
        "ask",
        "chat",
        "info",
        "verify",
        "weights",
        "world",
    ):
        shown = run(command, "--help")
        assert shown.code == 0
        assert shown.out.strip().splitlines()[-1].startswith("try: "), command


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name a small language model for vectors of imagebind-mini."""
    folder = tmp_path_factory.mktemp("speaker")
    base = write_base(folder / "base", "hf")
    adapter = write_own_adapter(base, folder / "adapter.safetensors", dim=256)
    return ["--base", str(base), "--adapter", str(adapter), "--seed", "1", "--max-tokens", "8"]


def test_ask_answers_as_python_does(shop: Path, speaker: list[str]) -> None:
    """With the options of cache and drawing, and the images that the answer drew on."""
    asked: list[str | Path] = ["ask", shop / "index", "w5 w9", "--text", "a dog", *speaker]
    asked += ["--temperature", "1"]
    options = ("--alpha", "0.7", "--cache-k", "3", "--weighting", "linear", "--top-p", "0.9")
    found = run(*asked, *options, "--json")
    assert found.code == 0, found.err
    made = json.loads(found.out)
    ab = anybind.load(shop / "index", base=speaker[1], adapter=speaker[3])
    cache = anybind.Cache(alpha=0.7, k=3, weighting="linear")
    settings = anybind.Generation(seed=1, max_tokens=8, temperature=1, top_p=0.9)
    answer = ab.ask("w5 w9", text="a dog", cache=cache, settings=settings)
    assert made["answer"] == answer.text
    assert [c["id"] for c in made["query"]["citations"]] == [c.id for c in answer.citations]
    assert run(*asked, *options).out == answer.text + "\n"
    naive = json.loads(run(*asked, "--no-cache", "--json").out)
    assert set(naive["query"]) == {"norm", "weights", "centred"}
    assert json.loads(run("ask", shop / "index", "w5", *speaker, "--json").out)["query"] is None


def test_ask_shows_the_images_an_answer_drew_on(
    shop: Path, speaker: list[str], tmp_path: Path, picture: Path
) -> None:
    """Ten by default, as a table or drawn; none for a picture."""
    asked: list[str | Path] = ["ask", shop / "index", "w5 w9", *speaker]
    table = run(*asked, "--text", "a dog", "--show-cache")
    assert table.code == 0, table.err
    head, *rows = table.out.splitlines()[2:]
    assert head.split() == ["weight", "score", "id", "caption", "source"] and len(rows) == 10
    assert abs(sum(float(row.split()[0]) for row in rows) - 1) < 0.01
    sheet = tmp_path / "cache.png"
    assert run(*asked, "--text", "a dog", "--show-cache", sheet).code == 0
    with Image.open(sheet) as image:
        assert image.width > 1000 and image.height > 400
    none = run(*asked, "--image", picture, "--show-cache")
    assert none.code == 0 and "the cache was not used" in none.err


def test_search_with_alpha_says_which_images_pulled(shop: Path) -> None:
    """The reference is the same search in Python."""
    asked = ("search", shop / "index", "--text", "a dog", "--alpha", "0.7", "--json")
    made = json.loads(run(*asked).out)
    hits = anybind.load(shop / "index").search(text="a dog", cache=anybind.Cache(alpha=0.7))
    assert [hit["id"] for hit in made["results"]] == [hit.id for hit in hits]
    assert len(made["query"]["citations"]) == 10


def test_chat_answers_lines(
    shop: Path, speaker: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is the same conversation in Python."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("/text a dog\nw5 w9\nw7\n/quit\nw8\n"))
    made = run("chat", shop / "index", *speaker)
    assert made.code == 0, made.err
    chat = anybind.load(shop / "index", base=speaker[1], adapter=speaker[3]).chat()
    settings = anybind.Generation(seed=1, max_tokens=8)
    answers = [chat.ask("w5 w9", text="a dog", settings=settings).text]
    answers.append(chat.ask("w7", settings=settings).text)
    assert made.out.splitlines() == answers


def test_train_says_what_it_learned_from(tmp_path: Path) -> None:
    """Two steps on two records; run again, it says the same without learning again."""
    write_base(tmp_path / "hf", "hf")
    record = {"instruction": "w5", "output": "w6 w7"}
    (tmp_path / "list.json").write_text(json.dumps([record, record]))
    asked = ("train", "--phase", "pretrain", "--base", tmp_path / "hf", "--out", tmp_path / "out")
    how = ("--data", f"{tmp_path / 'list.json'}=2", "--steps", "2", "--batch-size", "2")
    made = run(*asked, *how, "--device", "cpu")
    assert made.code == 0, made.err
    card = json.loads((tmp_path / "out" / "adapter.json").read_text())
    assert card["data"][0]["weight"] == 2 and card["steps"] == 2
    said = f"adapter.safetensors: 2 steps on 2 records (0 skipped), loss {card['loss']:.3f}\n"
    assert made.out.endswith(said)
    again = run(*asked, *how, "--device", "cpu", "--json")
    assert json.loads(again.out)["loss"] == card["loss"]
    other = run(*asked, *how[:2], "--steps", "3", "--batch-size", "2", "--device", "cpu")
    assert other.code == 2 and "steps 2 instead of 3" in other.complaint


def test_train_plans_without_weights(tmp_path: Path) -> None:
    """The sum was counted in the published code; the parts add up to it."""
    sizes = {"dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "vocab_size": -1}
    (tmp_path / "params.json").write_text(json.dumps(sizes))
    asked = ("train", "--plan", "--base", tmp_path, "--encoder", "imagebind-huge", "--phase")
    made = run(*asked, "finetune")
    assert made.code == 0, made.err
    rows = {
        " ".join(words): int(n.replace(",", ""))
        for *words, n in map(str.split, made.out.splitlines())
    }
    assert rows["trained"] == rows["lora"] + rows["bias"] + rows["norm"] == 41_340_928
    plan = json.loads(run(*asked, "pretrain", "--json").out)
    assert plan["total"] == sum(plan["trained"].values()) == 608_322_560


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "name what to learn from with --data, and a folder for it with --out"),
        (("--data", "none.json", "--out", "o"), "there is no none.json"),
        (("--data", "a=0", "--out", "o"), "give a positive number"),
        (("--data", "a", "--out", "o", "--lr", "0"), "'0' is no positive number"),
    ],
)
def test_train_refuses_what_it_cannot_do(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    asked = ("train", "--phase", "pretrain", "--base", str(tmp_path), *options)
    made = run(*asked, "--device", "cpu", cwd=tmp_path)
    assert made.code == 2 and message in made.complaint
