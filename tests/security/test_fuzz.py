"""The fuzzing of all decoders, in short, and whether it would notice."""

import asyncio
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from anybind.encoders.encoder import load_encoder
from anybind.encoders.modality import Modality
from anybind.encoders.preprocess import Preprocessor
from anybind.server.decoding import DecodePool, Limits

from ..scripts import script

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and of files")

fuzzing = script("fuzz_decoders")
LIMITS = Limits(memory_bytes=2**30, seconds=60)


def test_mutants_of_every_format_are_decoded_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """50 of each; the script's exit status is 0: no other error, no leak, memory within bounds."""
    encoder = load_encoder()
    media = [modality for modality in Modality if modality is not Modality.TEXT]
    preprocessors: dict[Modality, Preprocessor] = {m: encoder.preprocessor(m) for m in media}
    pool = DecodePool(preprocessors, n_workers=2, limits=LIMITS)
    status = asyncio.run(fuzzing.fuzz(pool, fuzzing.make_seeds(), n=50, seed=1, keep=tmp_path))
    assert status == 0, capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    rows = capsys.readouterr().out.splitlines()
    forms = [row.split(" | ")[0] for row in rows if row.startswith("| ")]
    expected = [f"| {seed.modality} {seed.form}" for seed in fuzzing.make_seeds()]
    assert forms[2:] == expected


def test_a_decoder_with_a_mistake_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of ``misbehaving.act`` every mutant is a KeyError, which no loader should let through."""
    if str(Path(__file__).parent) not in sys.path:
        sys.path.append(str(Path(__file__).parent))
    misbehaving = importlib.import_module("misbehaving")
    pool = DecodePool({Modality.IMU: misbehaving.act}, n_workers=1, limits=LIMITS)
    seed = fuzzing.Seed(modality=Modality.IMU, form="act", content=b"rest\n0")
    assert asyncio.run(fuzzing.fuzz(pool, [seed], n=5, seed=0, keep=tmp_path)) == 1
    assert "KeyError" in capsys.readouterr().err
    assert list(tmp_path.iterdir())


def test_a_mutant_can_be_made_again_alone() -> None:
    """The same seed gives the same bytes; two seeds differ; none is empty."""
    content = fuzzing.saved(fuzzing.Image.fromarray(fuzzing.pixels()), "PNG")
    one, same, other = (
        [
            fuzzing.mutated(content, [content], np.random.default_rng([seed, number]))
            for number in range(40)
        ]
        for seed in (0, 0, 1)
    )
    assert one == same and one != other
    assert all(one) and sum(mutant != content for mutant in one) >= 39
