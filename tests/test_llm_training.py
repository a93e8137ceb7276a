"""Training: what a step does, what stopping changes (nothing), and what is refused."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from anybind.encoders.encoder import Encoder, load_encoder
from anybind.errors import AnyBindError, UsageError, WeightsError
from anybind.llm import training
from anybind.llm.adapter import EncoderNote, open_adapter
from anybind.llm.base import load_base
from anybind.llm.batches import Order, collate
from anybind.llm.config import AdapterConfig, Generation, Group, Phase
from anybind.llm.examples import Examples, encoder_of
from anybind.llm.model import load_language_model
from anybind.llm.network import IGNORED, Network, group_of
from anybind.llm.prompt import format_prompt
from anybind.llm.records import Source, read_records
from anybind.llm.training import PUBLISHED_BATCH, Settings, on_cpu, schedule, train
from anybind.llm.vectors import VectorStore

from .llm_folders import LLM, write_adapter, write_base
from .training_folders import BIND, N_PICTURES, STEPS, logged, losses, stage, write_data

LAYERS, HEADS = LLM.meta["params"]["n_layers"], LLM.meta["params"]["n_heads"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, data, and a pretrained adapter ``first/adapter.safetensors``."""
    place = tmp_path_factory.mktemp("training")
    write_base(place / "hf", "hf")
    write_data(place / "data")
    stage(place, "first")
    return place


def tensors(path: Path) -> dict[str, Tensor]:
    return load_file(path)


def assert_equal(found: Path, expected: Path, tolerance: float) -> None:
    """Adapters hold the same numbers."""
    a, b = tensors(found), tensors(expected)
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        torch.testing.assert_close(tensor, b[name], rtol=0, atol=tolerance, msg=name)


@dataclass(frozen=True, kw_only=True)
class ByHand:
    """What steps of training come to."""

    losses: list[float]
    norms: list[float]  # of the gradients, before they are shortened
    adapter: dict[str, Tensor]


def by_hand(folder: Path, *, max_norm: float | None = None) -> ByHand:
    """Two steps: every example alone and unpadded, decay for matrices only."""
    base = load_base(folder / "hf", device="cpu")
    examples = Examples()
    sources = [Source(path=folder / "data" / f"{name}.json") for name in ("pictures", "texts")]
    encode = encoder_of(base.tokenizer, bos=base.bos, eos=base.eos[0], max_tokens=100)
    for source in sources:
        examples.add(str(source.path), 1.0, read_records(source), encode)
    store = VectorStore(folder / "vectors", load_encoder("imagebind-mini", device="cpu"))
    examples.settle(store.rows(), {})
    order = Order(examples.ids, [1.0, 2.0], examples.lengths, batch_size=6, seed=0)
    torch.manual_seed(0)
    config = AdapterConfig(bind=BIND, n_layers=LAYERS, n_heads=HEADS, lora_rank=0)
    network = Network(base.llama, config)
    network.prepare(Phase.PRETRAIN)
    trained = network.trained(Phase.PRETRAIN)
    decays = [p for name, p in trained.items() if name.endswith("weight") and "norm" not in name]
    decays.append(trained["injection.queries"])
    stays = [p for p in trained.values() if all(p is not other for other in decays)]
    optimizer = torch.optim.AdamW(
        [{"params": decays, "weight_decay": 0.5}, {"params": stays, "weight_decay": 0.0}],
        lr=0.01,
        betas=(0.9, 0.95),
    )
    found = ByHand(losses=[], norms=[], adapter={})
    for step in range(2):
        total, n = torch.zeros(()), 0
        for i in order.batch(step):
            one = collate(examples, np.array([i]), store.vectors())
            with network.seeing(one.vectors, one.segments):
                logits = base.llama(input_ids=one.tokens).logits
            labels = one.labels[:, 1:].flatten()
            total = total + F.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels, ignore_index=IGNORED, reduction="sum"
            )
            n += int((labels != IGNORED).sum())
        optimizer.zero_grad()
        torch.autograd.backward(total / n)
        gradients = [p.grad for p in trained.values() if p.grad is not None]
        norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients))
        if max_norm is not None and norm > max_norm:
            for gradient in gradients:
                gradient *= max_norm / norm
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * 0.5 * (1 + math.cos(math.pi * step / 2))
        optimizer.step()
        found.losses.append(float(total.detach()) / n)
        found.norms.append(norm)
    found.adapter.update({name: p.detach() for name, p in network.adapter().items()})
    return found


def furthest(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest difference between numbers of two adapters."""
    assert found.keys() == expected.keys()
    return max(float((found[name] - expected[name]).abs().max()) for name in found)


def test_steps_are_those_of_adamw_on_the_mean_over_all_learned_tokens(folder: Path) -> None:
    """Two steps by hand; the log has the lengths of the gradients too."""
    expected = by_hand(folder)
    path = stage(folder, "two", steps=2)
    np.testing.assert_allclose(losses(folder / "two"), expected.losses, rtol=0, atol=1e-5)
    np.testing.assert_allclose(logged(folder / "two", "norm"), expected.norms, rtol=1e-4)
    assert furthest(tensors(path), expected.adapter) < 1e-4


def test_gradients_are_shortened_to_what_is_asked(folder: Path) -> None:
    """By hand, to a length so small that Adam's epsilon shows it; a longer one leaves them."""
    longest = 1e-6
    expected = by_hand(folder, max_norm=longest)
    path = stage(folder, "short", steps=2, max_norm=longest)
    assert min(expected.norms) > 1e3 * longest
    np.testing.assert_allclose(logged(folder / "short", "norm"), expected.norms, rtol=1e-3)
    assert furthest(tensors(path), expected.adapter) < 1e-4
    whole = by_hand(folder)
    assert furthest(whole.adapter, expected.adapter) > 1e-3
    path = stage(folder, "long", steps=2, max_norm=10 * max(whole.norms))
    assert furthest(tensors(path), whole.adapter) < 1e-4


def test_in_bf16_products_are_rounded_and_what_is_trained_is_not(folder: Path) -> None:
    """By hand in fp32: a loss of 6 is further from it than rounding in fp32, and not further than a
    step of bf16, which is 2⁻⁷ of 4. Gradients were rounded several times. What is trained lies
    between the numbers of bf16."""
    expected = by_hand(folder)
    path = stage(folder, "bf16", steps=2, precision="bf16")
    away = np.abs(np.array(losses(folder / "bf16")) - expected.losses)
    assert 1e-4 < away.max() < 2**-7 * 4
    np.testing.assert_allclose(logged(folder / "bf16", "norm"), expected.norms, rtol=2**-5)
    for name, tensor in tensors(path).items():
        assert tensor.dtype is torch.float32, name
        assert not torch.equal(tensor, tensor.bfloat16().float()), name


def test_parts_of_a_batch_change_nothing(folder: Path) -> None:
    """The reference is the batch in one part; Adam's first steps blow up rounding."""
    path = stage(folder, "parts", accumulation=4)
    np.testing.assert_allclose(
        losses(folder / "parts"), losses(folder / "first"), rtol=0, atol=1e-4
    )
    assert_equal(path, folder / "first" / "adapter.safetensors", 1e-3)


def begin(folder: Path, out: str, patch: pytest.MonkeyPatch, *, interrupt: bool = False) -> None:
    """Train, and stop in the fourth step, in the second of its three parts."""
    calls = 0

    def stopping(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3 * 3 + 2:
            if not interrupt:
                raise MemoryError
            os.kill(os.getpid(), signal.SIGINT)
        return collate(*args)  # type: ignore[arg-type]

    with patch.context() as inside:
        inside.setattr(training, "collate", stopping)
        with pytest.raises(KeyboardInterrupt if interrupt else MemoryError):
            stage(folder, out, accumulation=3, checkpoint_seconds=1e-9)
    assert len(losses(folder / out)) == (4 if interrupt else 3)


@pytest.mark.parametrize("interrupt", [False, True], ids=["killed", "interrupted"])
def test_a_training_that_was_stopped_ends_as_one_that_was_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch, interrupt: bool
) -> None:
    """The reference is one that ran through; an interrupt finishes its step, a crash does not."""
    whole, out = folder / "whole", "interrupted" if interrupt else "killed"
    if not whole.exists():
        stage(folder, "whole", accumulation=3)
    begin(folder, out, monkeypatch, interrupt=interrupt)
    path = stage(folder, out, accumulation=3)
    np.testing.assert_allclose(losses(folder / out), losses(whole), rtol=0, atol=1e-6)
    assert_equal(path, whole / "adapter.safetensors", 1e-6)
    assert not (folder / out / "checkpoint").exists()


def test_a_finished_training_returns_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without opening the base; and another training in the same folder is refused."""
    monkeypatch.delattr(training, "load_base")
    assert stage(folder, "first") == folder / "first" / "adapter.safetensors"
    with pytest.raises(UsageError, match=r"first holds a training with seed 0 instead of 1; give"):
        stage(folder, "first", seed=1)


def test_finetuning_changes_lora_biases_and_norms_alone(folder: Path) -> None:
    """The reference is the adapter it went on from; the result answers."""
    before = folder / "first" / "adapter.safetensors"
    path = stage(folder, "second", phase=Phase.FINETUNE, adapter=before)
    first, second = tensors(before), tensors(path)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    new = {group_of(name) for name in second.keys() - first.keys()}
    assert new == {Group.LORA, Group.BIAS, Group.NORM}
    assert losses(folder / "second")[-1] < losses(folder / "second")[0]
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["base"] == load_base(folder / "hf", device="cpu").fingerprint
    assert set(card["trained"]) == {"lora", "bias", "norm"} and card["steps"] == STEPS
    pictures = EncoderNote.of(load_encoder("imagebind-mini", device="cpu"))
    assert open_adapter(path).encoder == EncoderNote(**card["encoder"]) == pictures
    assert [source["records"] for source in card["data"]] == [N_PICTURES + 1, 5]
    assert list((folder / "second" / "events").iterdir())
    model = load_language_model(folder / "hf", path, device="cpu")
    settings = Generation(max_tokens=3, temperature=0)
    assert len(model.generate([format_prompt("w5")], torch.ones(1, 256), settings)) == 1


def test_pictures_are_encoded_once_and_broken_ones_are_counted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The second list shows a picture of the first one under another name, and a broken one."""
    Image.open(folder / "data" / "0.png").save(tmp_path / "copy.png")
    (tmp_path / "copy.png").write_bytes((folder / "data" / "0.png").read_bytes())
    (tmp_path / "bad.png").write_bytes(b"no picture")
    said = [{"from": "human", "value": "w5"}, {"from": "gpt", "value": "w6"}]
    records = [{"image": name, "conversations": said} for name in ("copy.png", "bad.png")]
    (tmp_path / "list.json").write_text(json.dumps(records))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(Encoder, "encode_prepared", refuse)
    path = train(
        folder / "hf",
        [Source(path=tmp_path / "list.json")],
        tmp_path / "out",
        Settings(phase=Phase.PRETRAIN, steps=1, batch_size=2),
        bind=BIND,
        vectors=folder / "vectors",
        device="cpu",
        progress=False,
    )
    (data,) = json.loads(path.with_suffix(".json").read_text())["data"]
    assert data["records"] == 1 and sum(data["skipped"].values()) == 1
    assert "skipped 1 records" in caplog.text and "is not an image" in caplog.text


def test_data_that_changed_are_not_gone_on_with(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One picture is another one of the same name, after the first checkpoint."""
    write_base(tmp_path / "hf", "hf")
    write_data(tmp_path / "data")
    with monkeypatch.context() as patch:
        patch.setattr(training, "last_loss", lambda out: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            stage(tmp_path, "out", steps=1)
    (tmp_path / "data" / "0.png").write_bytes((tmp_path / "data" / "1.png").read_bytes())
    with pytest.raises(UsageError, match="the data changed since"):
        stage(tmp_path, "out", steps=1)


def test_a_loss_that_is_no_number_ends_the_training(folder: Path) -> None:
    with pytest.raises(AnyBindError, match=r"the loss is nan .* at step \d; give a lower lr"):
        stage(folder, "wild", lr=1e30)


def test_the_learning_rate_rises_and_falls_as_published() -> None:
    """Linear over the warm-up, then half a cosine to 0: values by hand."""
    found = [schedule(step, 10, 0.2) for step in range(10)]
    cosine = [0.5 * (1 + math.cos(math.pi * i / 8)) for i in range(8)]
    np.testing.assert_allclose(found, [0.5, 1.0, *cosine])
    published = Settings(phase=Phase.PRETRAIN, batch_size=4 * PUBLISHED_BATCH)
    assert published.peak == pytest.approx(4e-4)  # of the paper, for 1,024 a batch
    assert Settings(phase=Phase.FINETUNE, batch_size=32).peak == pytest.approx(1.25e-4)


def test_what_does_not_fit_together_is_refused(folder: Path, tmp_path: Path) -> None:
    """Each in one line, before anything is trained."""
    first = folder / "first" / "adapter.safetensors"
    with pytest.raises(UsageError, match="finetuning goes on from an adapter"):
        train(
            folder / "hf",
            [Source(path=folder / "data" / "texts.json")],
            tmp_path / "a",
            Settings(phase=Phase.FINETUNE),
            device="cpu",
        )
    published = write_adapter(tmp_path / "7B-pretrained.pth", "pretrain")
    with pytest.raises(UsageError, match="takes vectors of 40 numbers and the encoder makes 256"):
        stage(folder, "b", phase=Phase.FINETUNE, adapter=published)
    other = tmp_path / "other.safetensors"
    save_file(
        tensors(first), other, metadata={**open_adapter(first).file.metadata, "encoder": "sha256:0"}
    )
    with pytest.raises(WeightsError, match="tuned on pictures as one .sha256:0. sees them"):
        stage(folder, "other", phase=Phase.FINETUNE, adapter=other)
    with pytest.raises(WeightsError, match="not sha256:0; name the right one"):
        train(
            folder / "hf",
            [Source(path=folder / "data" / "texts.json")],
            tmp_path / "c",
            Settings(phase=Phase.FINETUNE),
            adapter=first,
            device="cpu",
            expect_base="sha256:0",
        )
    with pytest.raises(UsageError, match="a batch of 6 cannot be cut into 7 parts"):
        stage(folder, "d", accumulation=7)
    with pytest.raises(UsageError, match="give at least one source"):
        train(folder / "hf", [], tmp_path, Settings(phase=Phase.PRETRAIN))
    with pytest.raises(UsageError, match="fp16 loses small gradients"):
        Settings(phase=Phase.PRETRAIN, precision="fp16")
    with pytest.raises(UsageError, match="warmup is 1"):
        Settings(phase=Phase.PRETRAIN, warmup=1)


def test_two_processes_learn_what_one_learns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicated (DDP) and sharded (FSDP) over gloo, against one process: both phases, and a
    training that one process began."""
    for how in ("copied", "sharded"):
        begin(folder, f"{how}-resumed", monkeypatch)
    script = Path(__file__).with_name("training_folders.py")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, str(script), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if not (folder / "second").exists():
        first = folder / "first" / "adapter.safetensors"
        stage(folder, "second", phase=Phase.FINETUNE, adapter=first)
    for how in ("copied", "sharded"):
        np.testing.assert_allclose(
            losses(folder / f"{how}1"), losses(folder / "first"), rtol=0, atol=1e-5
        )
        np.testing.assert_allclose(
            losses(folder / f"{how}2"), losses(folder / "second"), rtol=0, atol=1e-5
        )
        np.testing.assert_allclose(
            losses(folder / f"{how}-resumed"), losses(folder / "first"), rtol=0, atol=1e-5
        )
        card = json.loads((folder / f"{how}2" / "adapter.json").read_text())
        assert card["processes"] == 2


@pytest.mark.parametrize(
    ("device", "there", "expected"),
    [("cpu", True, True), ("cpu", False, True), ("auto", True, False), ("auto", False, True)],
)
def test_a_training_takes_the_cpu_where_there_is_nothing_else(
    device: str, there: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All combinations; accelerate lets processes meet on a CPU only if it is told."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there)
    assert on_cpu(device) is expected
