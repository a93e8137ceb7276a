"""What an installed anybind is: every package listed, light to import, whole as a wheel."""

import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

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
def wheel_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the built wheel in it.

    Its dependencies come from the environment that runs the tests; anybind itself must come from
    the wheel alone.
    """
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT],
        check=True,
    )
    (wheel,) = folder.glob("anybind-*.whl")
    environment = folder / "venv"
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
