"""The language model against the published code: the same weights, the same numbers."""

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from anybind.encoders.config import PointsConfig
from anybind.encoders.imagebind import ImageBind
from anybind.encoders.modality import Modality
from anybind.index.mixing import mix, mixing_of, shares
from anybind.llm.adapter import fill as fill_network
from anybind.llm.adapter import open_adapter
from anybind.llm.config import AdapterConfig, BindConfig, Generation, Group, Phase
from anybind.llm.decoding import CACHE
from anybind.llm.generation import processors
from anybind.llm.layouts import from_published
from anybind.llm.model import LanguageModel, load_language_model
from anybind.llm.network import IGNORED, Batch, Network, count
from anybind.llm.prompt import format_prompt

from .llm_folders import LLM, ids_of, image_vectors, words, write_adapter, write_base
from .parity import fill, hold, small_config

MIXTURES = list(LLM.meta["mixtures"])
SEEN = "image_audio"  # the mixture whose logits are drawn from
STEPS = LLM.meta["step_tokens"]


def vector(name: str) -> Tensor:
    return torch.from_numpy(LLM.arrays[name])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bases in both layouts, and the three published adapters."""
    found = tmp_path_factory.mktemp("llm")
    for layout in ("meta", "hf"):
        write_base(found / layout, layout)
    for kind in ("finetune", "pretrain", "legacy"):
        write_adapter(found / f"{kind}.pth", kind)
    return found


@pytest.fixture(scope="module", params=["meta", "hf"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(folder: Path, layout: str) -> LanguageModel:
    """The finetuned model as it answers: LoRA folded in."""
    return load_language_model(folder / layout, folder / "finetune.pth")


def visual(model: LanguageModel, vectors: Tensor) -> Tensor:
    assert model.network is not None
    with torch.inference_mode():
        found: Tensor = model.network.bind(vectors)
    return found


def steps(model: LanguageModel, prompt: list[int], vectors: Tensor, n: int) -> list[Tensor]:
    """Last-position logits after a prompt, and after each of ``n`` tokens, with a cache."""
    assert model.network is not None
    llama, cache, found = model.base.llama, DynamicCache(config=model.base.llama.config), []
    with torch.inference_mode(), model.network.seeing(vectors):
        for tokens in [prompt, *([token] for token in STEPS[:n])]:
            out = llama(input_ids=torch.tensor([tokens]), use_cache=True, **{CACHE: cache})
            found.append(out.logits[:, -1].float())
    return found


def compare(name: str, found: Tensor) -> None:
    LLM.compare({name: found.reshape(LLM.arrays[name].shape)})


# ------------------------------------------------------------------------------ inference


@pytest.fixture(scope="module")
def units() -> dict[str, Tensor]:
    """The fixture's media through the encoder, all towers and the points, by their names in it."""
    config = replace(small_config(LLM.meta["imagebind"]), points=PointsConfig())
    encoder = LLM.load(ImageBind(config), table="imagebind_state")
    found: dict[str, Tensor] = {}
    for name, shape in LLM.meta["inputs"].items():
        if name == "Text":
            x = LLM.arrays["input:Text"]
        elif name == "Point":
            x = fill.cloud(LLM.seed, "cloud:llm/Point", shape)
        else:
            x = fill.normal(LLM.seed, f"input:llm/{name}", shape)
        modality = Modality.POINTS if name == "Point" else Modality(name.lower())
        clips = name in ("Video", "Audio")
        with torch.inference_mode():
            found[name] = encoder(modality, torch.from_numpy(x), clips=clips)
    return found


def test_media_become_the_vectors_of_the_published_code(units: dict[str, Tensor]) -> None:
    """Every modality that the published demo takes, at unit length."""
    names = {name for name in LLM.arrays if name.startswith("unit/")}
    assert names == {f"unit/{name}" for name in units}
    for name, found in units.items():
        compare(f"unit/{name}", found)


def test_mixtures_are_those_of_the_published_code(units: dict[str, Tensor]) -> None:
    """By its rule, of the vectors that our encoder gives."""
    rule = mixing_of("imagebind-llm")
    assert rule.shares
    for mixture, parts in LLM.meta["mixtures"].items():
        rows = torch.cat([units[name] for name, _ in parts]).numpy()
        weights = shares([weight for _, weight in parts])
        found = mix(rows, weights, normalise=rule.normalise)
        compare(f"mix/{mixture}/q", torch.from_numpy(found))


def test_visual_vectors_are_those_of_the_published_code(model: LanguageModel) -> None:
    """Mixtures, cache-enhanced and linear vectors through the bind network."""
    for name in LLM.arrays:
        head, _, last = name.rpartition("/")
        if last not in ("visual", "unit_visual") or name.startswith(("pretrain", "legacy")):
            continue
        if head == "mix/batch2":
            shown = image_vectors("Image2", 2)
        else:
            shown = vector(f"{head}/q" if head.startswith("mix/") else f"{head}/z")
        if last == "unit_visual":
            shown = shown / shown.norm(dim=-1, keepdim=True)
        compare(name, visual(model, shown))


@pytest.mark.parametrize("folded", [True, False])
def test_logits_are_those_of_the_published_code(folder: Path, layout: str, folded: bool) -> None:
    """After each prompt, and after three tokens more with a key-value cache."""
    model = load_language_model(folder / layout, folder / "finetune.pth", fold=folded)
    for mixture in ("image", SEEN):
        for prompt in ("0", "2"):
            found = steps(model, LLM.meta["prompts"][prompt], vector(f"mix/{mixture}/q"), 3)
            names = ["prefill", *(f"step{i}" for i in range(3))]
            for name, logits in zip(names, found, strict=True):
                compare(f"logits/{mixture}/{prompt}/{name}", logits)


@pytest.mark.parametrize("kind", ["pretrain", "legacy"])
def test_the_other_published_adapters_give_their_logits(
    folder: Path, layout: str, kind: str
) -> None:
    """7B-pretrained.pth has no LoRA, 7B-beta.pth the older bind network."""
    model = load_language_model(folder / layout, folder / f"{kind}.pth")
    shown = vector(f"mix/{SEEN}/q")
    compare(f"{kind}/{SEEN}/visual", visual(model, shown))
    compare(f"{kind}/{SEEN}/0/prefill", steps(model, LLM.meta["prompts"]["0"], shown, 0)[0])


def test_the_base_alone_is_a_plain_llama(folder: Path, layout: str) -> None:
    """Meta's LLaMA without an adapter, base norms."""
    model = load_language_model(folder / layout)
    for prompt in ("0", "1", "2"):
        with torch.inference_mode():
            tokens = torch.tensor([LLM.meta["prompts"][prompt]])
            compare(f"base/{prompt}", model.base.llama(input_ids=tokens).logits[:, -1])


def test_greedy_answers_are_those_of_the_published_code(model: LanguageModel) -> None:
    """Single prompts, a cache-enhanced vector, and two prompts of unequal length in one batch."""
    settings = Generation(temperature=0, max_tokens=LLM.meta["max_gen_len"])
    for name in (name for name in LLM.arrays if name.startswith("greedy/")):
        _, mixture, prompt = name.split("/")
        text = words(LLM.meta["prompts"][prompt])
        (answer,) = model.generate([text], vector(f"mix/{mixture}/q"), settings)
        assert ids_of(answer) == LLM.arrays[name].tolist(), name
        assert "".join(model.stream(text, vector(f"mix/{mixture}/q")[0], settings)) == answer
    text = words(LLM.meta["prompts"]["1"])
    (answer,) = model.generate([text], vector(f"cache/{SEEN}/k10_t20_a0.5/z"), settings)
    assert ids_of(answer) == LLM.arrays[f"greedy_cache/{SEEN}/1"].tolist()
    texts = [words(LLM.meta["prompts"][prompt]) for prompt in ("6", "7")]
    answers = model.generate(texts, image_vectors("Image2", 2), settings)
    for prompt, answer in zip(("6", "7"), answers, strict=True):
        assert ids_of(answer) == LLM.arrays[f"greedy_batch2/{prompt}"].tolist()


@pytest.mark.parametrize("case", [name for name in LLM.arrays if name.startswith("topp/")])
def test_top_p_leaves_the_published_distribution(case: str) -> None:
    """The reference is what the published sampler draws from, given the same logits."""
    temperature, top_p = (float(v) for v in re.findall(r"[0-9.]+", case.removeprefix("topp/")))
    settings = Generation(temperature=temperature, top_p=top_p)
    logits = vector(f"logits/{SEEN}/0/prefill").reshape(1, -1)
    tokens = torch.tensor([LLM.meta["prompts"]["0"]])
    for step in list(processors(settings, [torch.Generator()]))[:-1]:  # all but the noise
        logits = step(tokens, logits)
    compare(case, logits.softmax(-1))


def test_prompts_are_those_of_the_published_code() -> None:
    """Word for word; the fixture has one without context, one with an empty one, one with both."""
    for instruction, context, expected in LLM.meta["format_prompt"]:
        assert format_prompt(instruction, context) == expected


# ------------------------------------------------------------------------------ training


@pytest.mark.parametrize("phase", list(Phase))
def test_losses_and_gradients_are_those_of_the_published_code(
    folder: Path, layout: str, phase: Phase
) -> None:
    """Both phases in training mode; the published label of an ignored position is 0."""
    model = load_language_model(folder / layout, folder / f"{phase}.pth", fold=False)
    network = model.network
    assert network is not None
    network.prepare(phase)
    network.train()
    tokens, labels = vector("train/tokens"), vector("train/labels")
    batch = Batch(
        tokens=tokens,
        labels=labels.masked_fill(labels == 0, IGNORED),
        vectors=image_vectors("train", len(tokens)),
    )
    with torch.no_grad(), network.seeing(batch.vectors):
        compare(f"{phase}/logits", model.base.llama(input_ids=tokens).logits)
    loss = network(batch.tokens, batch.labels, batch.vectors)
    compare(f"{phase}/loss", loss.detach())
    torch.autograd.backward(loss)
    trained = network.trained(phase)
    names = [from_published(name) for name in LLM.meta[f"{phase}_trainable"]]
    assert {ours.name for ours in names if ours is not None} == set(trained)
    norms = [float(_gradient(trained[ours.name]).norm()) for ours in names if ours is not None]
    compare(f"{phase}/grad_norms", torch.tensor(norms))
    for name in (name for name in LLM.arrays if name.startswith(f"{phase}/grad:")):
        ours = from_published(name.partition(":")[2])
        assert ours is not None
        found = _gradient(trained[ours.name])
        if ours.heads is not None:  # back to Meta's order, as views: pairs side by side
            found = found.view(4, 2, -1).transpose(1, 2)
        reference = LLM.arrays[name].reshape(-1)
        difference = np.abs(found.reshape(-1).numpy() - reference).max() / np.abs(reference).max()
        hold(f"{LLM.name}: {phase}, gradients", float(difference), 1e-4)
    nothing = network(tokens, torch.full_like(labels, IGNORED), batch.vectors)
    assert float(nothing.detach()) == float(LLM.arrays[f"{phase}/loss_no_labels"]) == 0


def _gradient(parameter: torch.nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


# ------------------------------------------------------------------------------ at full size


@pytest.fixture(scope="module")
def full_size() -> LlamaForCausalLM:
    """LLaMA 7B without memory for its weights."""
    with torch.device("meta"):
        return LlamaForCausalLM(LlamaConfig())


def test_trained_parameters_at_7b_are_counted_as_in_the_published_code(
    full_size: LlamaForCausalLM,
) -> None:
    """608,322,560 and 41,340,928 were counted in the published code; parts add up by hand."""
    with torch.device("meta"):
        network = Network(full_size, AdapterConfig())
    pretrain, finetune = (count(network.trained(phase)) for phase in Phase)
    assert pretrain == {
        Group.BIND: 4096 * 1024 + 4096 + 3 * (4096 + 3 * 4096 * 16_384),
        Group.QUERIES: 32 * 4096,
        Group.GATES: 32 * 32,
    }
    assert sum(pretrain.values()) == 608_322_560
    assert sum(finetune.values()) == 41_340_928


@pytest.mark.parametrize(("file", "legacy"), [("7B.pth", False), ("7B-beta.pth", True)])
def test_every_tensor_of_the_published_files_has_its_place(
    data: Path, file: str, legacy: bool
) -> None:
    """Names and shapes of the files themselves, on LLaMA 7B."""
    published: dict[str, list[int]] = json.loads(
        gzip.decompress((data / "parity" / "keys_llm.json.gz").read_bytes())
    )[file]
    with torch.device("meta"):
        config = AdapterConfig(bind=BindConfig(legacy=legacy))
        expected = Network(LlamaForCausalLM(LlamaConfig()), config).adapter()
    found = {from_published(name): shape for name, shape in published.items()}
    assert len(found) == len(published) == len(expected)
    for ours, shape in found.items():
        assert ours is not None
        assert np.prod(shape) == expected[ours.name].numel(), ours.name


def test_a_phase_without_labels_still_touches_every_parameter(folder: Path) -> None:
    """Processes that train together wait for each other's gradients: zeros, not none."""
    network = _fresh(folder)
    network.prepare(Phase.FINETUNE)
    tokens = torch.randint(3, 100, (2, 5), generator=torch.Generator().manual_seed(1))
    network(tokens, torch.full_like(tokens, IGNORED), torch.zeros(2, 40)).backward()
    assert all(
        float(_gradient(p).abs().max()) == 0 for p in network.trained(Phase.FINETUNE).values()
    )


def _fresh(folder: Path) -> Network:
    """Stage 1 as published, with LoRA added."""
    file = open_adapter(folder / "pretrain.pth")
    base = load_language_model(folder / "hf").base
    config = AdapterConfig(
        bind=file.config.bind,
        n_layers=file.config.n_layers,
        n_heads=file.config.n_heads,
        lora_rank=4,
    )
    network = Network(base.llama, config)
    fill_network(network, file, fresh_lora=True)
    return network
