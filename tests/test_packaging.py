"""What an installed anybind is: every package listed, light to import, whole as a wheel."""

import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("commands", "encoders", "index", "llm", "server", "world")


def test_every_package_folder_is_listed() -> None:
    """The reference is the checkout itself: each folder with an ``__init__.py``."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(pyproject["tool"]["setuptools"]["packages"])
    found = {
        "anybind." + ".".join(init.parent.relative_to(ROOT).parts)
        for part in CODE
        for init in (ROOT / part).rglob("__init__.py")
    }
    assert listed == found | {"anybind"}


def test_importing_anybind_brings_in_nothing_heavy() -> None:
    """Time itself is not tested; the modules that cost it are."""
    code = "import sys, anybind; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "faiss", "numpy", "pyarrow", "sqlalchemy", "PIL", "av", "soundfile"}
    assert heavy.isdisjoint(done.stdout.split())


def test_searching_brings_in_no_torch() -> None:
    """An index is opened and searched with vectors by numpy and FAISS alone."""
    code = "import sys, anybind.index.search; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()


def test_every_public_name_resolves() -> None:
    """``__all__``, the lazy table and the modules agree."""
    import anybind

    for name in anybind.__all__:
        value = getattr(anybind, name)
        assert getattr(value, "__name__", name) == name  # a constant has no name of its own


def test_every_dependency_says_which_module_needs_it() -> None:
    """The rule: a comment beside each, naming a module or a folder that exists."""
    text = (ROOT / "pyproject.toml").read_text()
    block = text[text.index("\ndependencies = [") : text.index("]\n", text.index("\ndependencies"))]
    lines = [line for line in block.splitlines() if line.strip().startswith('"')]
    for line in lines[1:]:  # numpy is everywhere
        if "tqdm" in line:
            continue
        named = re.findall(r"(\w+/(?:[\w/]+\.py)?)", line.split("#", 1)[1])
        assert named, line
        assert all((ROOT / path).exists() for path in named), line


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT],
        check=True,
    )
    (built,) = folder.glob("anybind-*.whl")
    return built


@pytest.fixture(scope="module")
def wheel_python(wheel: Path) -> Path:
    """A new virtual environment with the built wheel in it.

    Its dependencies come from the environment that runs the tests; anybind itself must come from
    the wheel alone.
    """
    environment = wheel.parent / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    site = next((environment / "lib").glob("python3*/site-packages"))
    running = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"{running}\n")
    return python


def test_the_wheel_builds_an_index_and_searches_from_another_folder(
    wheel_python: Path, tmp_path: Path
) -> None:
    """Searching with a picture of the index finds that very picture first."""

    def run(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    code = "import anybind; print(anybind.__file__)"
    assert str(wheel_python.parents[1]) in run(str(wheel_python), "-c", code)
    anybind = str(wheel_python.with_name("anybind"))
    run(anybind, "world", "export", "--split", "test", "--limit", "12", "--out", "pictures")
    run(
        *(str(wheel_python.with_name("build-index")), "--source", "folder"),
        *("--input", "pictures/images", "--out", "index"),
    )
    picture = sorted((tmp_path / "pictures" / "images").iterdir())[3]
    out = run(anybind, "search", "index", "--image", str(picture), "-k", "2")
    assert picture.name in out.splitlines()[1]


# ---------------------------------------------------------------------- what a container image gets


def is_copied(path: str) -> bool:
    """Whether COPY in the Containerfile sees a file of the checkout.

    As Docker has it: of the patterns that fit the file or a folder around it, the last one decides;
    a star stands for no slash, and ``**/`` for any folders or none.
    """
    copied = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = re.escape(line.removeprefix("!"))
        pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        file = PurePosixPath(path)
        if any(re.fullmatch(pattern, str(each)) for each in (file, *file.parents[:-1])):
            copied = line.startswith("!")
    return copied


def test_an_image_gets_all_that_the_wheel_is_made_of(wheel: Path) -> None:
    """The reference is the wheel of the whole checkout, and what pip reads to build it."""
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    sources = [name.removeprefix("anybind/") for name in names if name.startswith("anybind/")]
    licences = [name.partition("/licenses/")[2] for name in names if "/licenses/" in name]
    assert len(sources) > 100 and "LICENSE" in licences
    needed = [*sources, *licences, "pyproject.toml", "README.md", "constraints.txt"]
    assert all((ROOT / path).is_file() for path in needed)
    assert [path for path in needed if not is_copied(path)] == []


def test_an_image_gets_nothing_else() -> None:
    """Nothing that git ignores, at the root or below, and of the root no other file or folder."""
    ignored = [
        f"{folder}{line.strip('/').replace('*', 'x')}/file"
        for line in (ROOT / ".gitignore").read_text().splitlines()
        for folder in (("",) if line.startswith("/") else ("", "server/"))
    ]
    others = [".git/config", "keys.txt", ".env", "server/.keys.txt.lock", "tests/a.py"]
    assert len(ignored) >= 9
    assert [path for path in [*ignored, *others] if is_copied(path)] == []
    files = {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "NOTICE", "py.typed"}
    copied = {path.name for path in ROOT.iterdir() if is_copied(path.name)}
    assert {name for name in copied if not name.endswith(".py")} == files | set(CODE)


def test_docker_and_podman_are_told_the_same() -> None:
    assert (ROOT / ".containerignore").read_bytes() == (ROOT / ".dockerignore").read_bytes()
    assert not (ROOT / ".containerignore").is_symlink()
