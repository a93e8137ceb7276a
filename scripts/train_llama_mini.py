"""Train the language model that anybind ships: ``llm/llama_mini``, from nothing.

A tokenizer and a small LLaMA learn to read from texts of :mod:`anybind.world` alone. That base is
then frozen, and an adapter around it learns in the stages of ImageBind-LLM's paper
(https://arxiv.org/abs/2309.03905, section 3) what pictures show: captions, then instructions, then
a few descriptions; and from there, chats. Of all media only pictures are ever seen. Run it again
after it was stopped and it continues.

    python scripts/train_llama_mini.py --export llm/llama_mini

Several processes may share the steps of the stages:

    torchrun --nproc-per-node 2 scripts/train_llama_mini.py --export llm/llama_mini
"""

import argparse
import json
import shutil
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from accelerate import PartialState
from examination import Column, Task, chance, examination, mark
from gallery import embed
from loop import Schedule, fast_precision, fit
from mini_tokenizer import BOS, BOS_ID, EOS, EOS_ID, UNKNOWN, learn_tokenizer, sample_texts
from stage_data import (
    CAPTIONS,
    CAPTIONS_ZH,
    CHATS,
    DESCRIPTIONS,
    EXERCISES,
    TASKS,
    Amounts,
    write_stage_data,
)
from torch import Tensor
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM

from anybind.encoders.encoder import load_encoder
from anybind.encoders.modality import Modality
from anybind.files import atomic_path, write_atomically
from anybind.llm.adapter import EncoderNote, save_adapter
from anybind.llm.base import load_base
from anybind.llm.config import BindConfig, Generation, Phase
from anybind.llm.model import LanguageModel, load_language_model
from anybind.llm.prompt import format_prompt
from anybind.llm.records import Source
from anybind.llm.tokenizer import Tokenizer, find_tokenizer
from anybind.llm.training import Settings, on_cpu, train
from anybind.world.captions import Language
from anybind.world.corpus import instructions, text_corpus
from anybind.world.scene import scene
from anybind.world.splits import split_ids

Tokens = npt.NDArray[np.uint16]

ENCODER = "imagebind-mini"  # whose vectors of pictures the stages see
DIM = 256  # width of the base
CONTEXT = 512  # tokens; the base is trained on rows of as many
TOKENIZER_TEXTS = 50_000
CHUNK_TEXTS = 9_000  # texts made at once, of the base's corpus ...
CHUNK_PROMPTS = 1_000  # ... and exercises in the words of a prompt
HELD_OUT = 1_000_000  # chunk of the corpus that is only measured
CHECKED = 200  # validation scenes looked at in the end, ...
FEWEST_CHECKED = 10  # ... of which a share is
LORA_RANK = 16
PATIENCE = timedelta(days=1)  # of processes that wait for the one that trains the base
LINEAR = "linear"  # folder, in --out, of the adapter without bind blocks


def sizes(vocabulary: int) -> LlamaConfig:
    """The shape of the base, with embeddings that serve as the output matrix too."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=DIM,
        num_hidden_layers=6,
        num_attention_heads=8,
        intermediate_size=704,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )


@dataclass(frozen=True, kw_only=True)
class Reading(Schedule):
    """The base: a sample is a row of CONTEXT tokens, each of which is seen once."""

    n_samples: int = 9_000
    batch: int = 16
    lr_rest: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the adapter."""

    name: str
    phase: Phase
    sources: Mapping[str, float]  # file of the data -> times an epoch shows each record
    n_samples: int  # records seen in all
    batch: int = 64
    lr: float
    after: str | None = None  # stage whose adapter is trained on

    @property
    def steps(self) -> int:
        return max(1, self.n_samples // self.batch)


STAGES = (
    Stage(
        name="captions",
        phase=Phase.PRETRAIN,
        sources={CAPTIONS: 1.0, CAPTIONS_ZH: 1.0},
        n_samples=64_000,
        lr=3e-3,
    ),
    Stage(
        name="instructions",
        phase=Phase.FINETUNE,
        sources={TASKS: 1.0, EXERCISES: 1.0, CAPTIONS: 0.2},  # not to forget the first stage
        n_samples=160_000,
        lr=2e-3,
        after="captions",
    ),
    Stage(
        name="descriptions",
        phase=Phase.FINETUNE,
        sources={DESCRIPTIONS: 1.0, CAPTIONS: 0.02},
        n_samples=6_000,
        lr=1e-4,
        after="instructions",
    ),
    Stage(
        name="chat",
        phase=Phase.FINETUNE,
        sources={CHATS: 1.0, TASKS: 0.05, EXERCISES: 0.1, CAPTIONS: 0.02},
        n_samples=16_000,
        lr=5e-4,
        after="descriptions",
    ),
)
LICENSE = """\
llama-mini: config.json, generation_config.json, tokenizer.json, tokenizer_config.json,
model.safetensors, adapter.safetensors, chat.safetensors, linear.safetensors
Copyright 2026 the anybind authors

These files were made from nothing by scripts/train_llama_mini.py, of texts and images that the
package anybind.world generates. No published weights and no third party's data went into them.
They are licensed under the Apache License, Version 2.0 (see LICENSE of anybind), without warranty
of any kind.
"""
SHIPPED = {  # file of the export -> folder of the stage
    "adapter": "descriptions",
    "chat": "chat",
    LINEAR: f"{LINEAR}/descriptions",  # if it was trained
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/llama-mini"))
    parser.add_argument("--export", type=Path, help="write the finished files there (fp16)")
    parser.add_argument("--plan", action="store_true", help="print what will be done, and stop")
    parser.add_argument(
        "--linear",
        action="store_true",
        help="also train an adapter with one linear projection in place of the bind network,\n"
        "to compare; evaluate_cache.py does",
    )
    parser.add_argument("--share", type=float, default=1.0, help="of everything, to try it out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default=fast_precision(), choices=["fp32", "bf16"])
    args = parser.parse_args()
    reading = Reading(seed=args.seed, precision=args.precision)
    reading = replace(reading, n_samples=int(reading.n_samples * args.share))
    stages = [replace(stage, n_samples=int(stage.n_samples * args.share)) for stage in STAGES]
    linear = [stage for stage in stages if args.linear and stage.name != "chat"]
    amounts = Amounts().scaled(args.share)
    processes = PartialState(cpu=on_cpu(args.device), timeout=PATIENCE)
    if processes.is_main_process:
        folders = {stage.name: stage for stage in stages}
        folders |= {f"{LINEAR}/{stage.name}": stage for stage in linear}
        print_plan(args.out, reading, amounts, folders)
    if args.plan:
        return
    args.out.mkdir(parents=True, exist_ok=True)
    with processes.main_process_first():  # the others find it done
        base = train_base(reading, args.out, args.device)
        write_stage_data(args.out / "data", amounts)
    train_stages(base, stages, args.out, args)
    train_stages(base, linear, args.out / LINEAR, args, n_blocks=0)
    if not processes.is_main_process:
        return
    if args.export:
        export(base, args.out, args.export)
    print(checked(base, args.out, max(FEWEST_CHECKED, int(CHECKED * args.share))))


def print_plan(out: Path, reading: Reading, amounts: Amounts, stages: Mapping[str, Stage]) -> None:
    """Say what is trained in which steps, and what of it is done already; stages by folder."""
    n_tokens = reading.n_samples * CONTEXT / 1e6
    rows = [
        (
            "base",
            (out / "base").exists(),
            f"{reading.steps:,} steps of {reading.batch} rows",
            f"{n_tokens:.1f} M tokens, lr {reading.lr:g} and {reading.lr_rest:g}",
        ),
        (
            "data",
            (out / "data" / CHATS).exists(),
            f"{amounts.scenes:,} pictures",
            f"{amounts.exercises:,} exercises, {amounts.chats:,} chats",
        ),
    ]
    rows += [
        (
            folder,
            (out / folder / "adapter.json").exists(),
            f"{stage.steps:,} steps of {stage.batch} records",
            f"{stage.phase}, lr {stage.lr:g}",
        )
        for folder, stage in stages.items()
    ]
    for name, done, how_much, how in rows:
        print(f"{name:22}{'done' if done else 'to do':8}{how_much:30}{how}", file=sys.stderr)


# ------------------------------------------------------------------------------ the base


def train_base(reading: Reading, out: Path, device: str) -> Path:
    """Learn tokenizer and base from texts.

    Returns:
        The folder of the base, in Hugging Face's layout, fp16.
    """
    folder, words = out / "base", out / "tokenizer"
    if folder.exists():
        return folder
    if not words.exists():
        write_tokenizer(words)
    tokenizer = find_tokenizer(words)
    rows = corpus(out / f"corpus_{reading.n_samples}.npy", tokenizer, reading.n_samples)
    torch.manual_seed(reading.seed)
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    with torch.device("cuda" if cuda else "cpu"):
        llama = LlamaForCausalLM(sizes(tokenizer.size))

    def loss_of(step: int, rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        some = rows[step * reading.batch : (step + 1) * reading.batch]
        return loss_on(llama, some), {}

    fit(llama, reading, loss_of, out, name="base")
    with atomic_path(folder) as aside:
        llama.half().save_pretrained(aside)  # type: ignore[no-untyped-call]
        shutil.copytree(words, aside, dirs_exist_ok=True)
    return folder


def loss_on(llama: LlamaForCausalLM, rows: Tokens) -> Tensor:
    """The mean cross entropy of the tokens of rows, each after those in front of it."""
    tokens = torch.from_numpy(rows.astype(np.int64)).to(llama.device)
    loss = llama(input_ids=tokens, labels=tokens, use_cache=False).loss
    assert isinstance(loss, Tensor)
    return loss


def write_tokenizer(folder: Path) -> None:
    """Learn the tokenizer, and write it with what transformers' AutoTokenizer wants to know."""
    learnt = learn_tokenizer(sample_texts(TOKENIZER_TEXTS))
    facts = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": UNKNOWN,
        "bos_token": BOS,
        "eos_token": EOS,
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
    }
    with atomic_path(folder) as aside:
        aside.mkdir()
        learnt.save(str(aside / "tokenizer.json"))
        (aside / "tokenizer_config.json").write_text(json.dumps(facts, indent=1) + "\n")


def corpus(path: Path, tokenizer: Tokenizer, n_rows: int, *, first: int = 0) -> Tokens:
    """Texts as tokens from a chunk on, one after the other, ``(n_rows, CONTEXT)``, on disk."""
    if not path.exists():
        ids = array("H")
        with tqdm(total=n_rows, desc="texts", unit=" rows") as bar:
            for number in count(first):
                for text in texts(number):
                    ids.append(BOS_ID)
                    ids.extend(tokenizer.encode(text))
                    ids.append(EOS_ID)
                bar.update(min(len(ids) // CONTEXT, n_rows) - bar.n)
                if bar.n == n_rows:
                    break
        made = np.frombuffer(ids, np.uint16)[: n_rows * CONTEXT].reshape(n_rows, CONTEXT)
        with atomic_path(path) as aside, aside.open("wb") as file:
            np.save(file, made)
    rows: Tokens = np.load(path, mmap_mode="r")
    return rows


def texts(number: int) -> Iterator[str]:
    """A chunk of what the base reads, in random order; the words of prompts occur in it too."""
    seed = number + 1  # the tokenizer saw 0
    some = list(text_corpus(seed, CHUNK_TEXTS))
    some += [
        format_prompt(task.instruction, task.input) + task.output
        for task in instructions(seed, CHUNK_PROMPTS)
    ]
    for i in np.random.default_rng(seed).permutation(len(some)):
        yield some[i]


# ------------------------------------------------------------------------------ the adapter


def train_stages(
    base: Path, stages: Sequence[Stage], out: Path, args: argparse.Namespace, *, n_blocks: int = 3
) -> None:
    """Train the stages one after the other, each in a folder of its own."""
    dim = load_encoder(ENCODER, device="cpu").dim
    bind = BindConfig(in_dim=dim, dim=DIM, hidden=4 * DIM, n_blocks=n_blocks)
    for stage in stages:
        pretrain = stage.phase is Phase.PRETRAIN
        train(
            base,
            [Source(path=args.out / "data" / name, weight=w) for name, w in stage.sources.items()],
            out / stage.name,
            Settings(
                phase=stage.phase,
                steps=stage.steps,
                batch_size=stage.batch,
                lr=stage.lr,
                max_norm=1.0,
                precision=args.precision,
                max_tokens=CONTEXT,
                seed=args.seed,
            ),
            encoder=ENCODER,
            adapter=None if stage.after is None else out / stage.after / "adapter.safetensors",
            bind=bind if pretrain else None,
            lora_rank=LORA_RANK,
            vectors=args.out / "vectors",
            device=args.device,
        )


# ------------------------------------------------------------------------------ the result


def shipped(out: Path) -> dict[str, Path]:
    """The finished adapters, by the name of their file in the export."""
    paths = {name: out / stage / "adapter.safetensors" for name, stage in SHIPPED.items()}
    return {name: path for name, path in paths.items() if path.exists()}


def export(base: Path, out: Path, folder: Path) -> None:
    """Write the base, and the adapters in fp16 with a note on how they were trained."""
    for path in sorted(base.iterdir()):
        write_atomically(folder / path.name, path.read_bytes())
    write_atomically(folder / "LICENSE", LICENSE.encode())
    fingerprint = load_base(base, device="cpu").fingerprint
    for name, trained in shipped(out).items():
        network = load_language_model(base, trained, device="cpu", fold=False).network
        assert network is not None
        card = json.loads(trained.with_suffix(".json").read_text())
        path = folder / f"{name}.safetensors"
        save_adapter(
            network,
            path,
            base=fingerprint,
            dtype=torch.float16,
            encoder=EncoderNote(**card["encoder"]),
            notes={"settings": json.dumps(card["settings"])},
        )
        print(f"{path}: {path.stat().st_size:,} bytes", file=sys.stderr)


def checked(base: Path, out: Path, n: int) -> str:
    """A first look, as Markdown: ``n`` unseen validation pictures, captioned and asked about."""
    scenes = [scene(number) for number in split_ids("validation", n)]
    encoder = load_encoder(ENCODER)
    seen = embed(encoder, Modality.IMAGE, scenes, cache=out / "gallery")
    asked: dict[Language, list[list[Task]]] = {
        "en": [examination(of, Modality.IMAGE) for of in scenes],
        "zh": [examination(of, Modality.IMAGE, "zh") for of in scenes],
    }
    names = [str(column.name).lower().replace("_", " ") for column in Column]
    lines = [f"| {n} pictures | " + " | ".join(names) + " |"]
    lines.append("| --- " * (1 + len(names)) + "|")

    def add(name: str, marks: npt.NDArray[np.float64]) -> None:
        shares = " | ".join(f"{share:.3f}" for share in np.nanmean(marks, axis=0))
        lines.append(f"| {name} | {shares} |")

    for name, trained in shipped(out).items():
        model = load_language_model(base, trained)
        for language, tasks in asked.items():
            add(f"{name}, {language}", answered(model, tasks, seen))
        if name == "adapter":
            add("blind", answered(model, asked["en"], np.zeros_like(seen)))
    add("chance", chance(asked["en"], seed=0))
    llama = load_base(base, device="cpu").llama
    held_out = corpus(out / "held_out.npy", find_tokenizer(base), 64, first=HELD_OUT)
    with torch.inference_mode():
        nats = float(loss_on(llama, held_out))
    return "\n".join([*lines, "", f"The base needs {nats:.3f} nats a token of unseen texts."])


def answered(
    model: LanguageModel, tasks: Sequence[Sequence[Task]], seen: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Marks ``(scenes, columns)`` of the likeliest answers."""
    prompts = [task.prompt for of in tasks for task in of]
    rows = np.repeat(seen, [len(of) for of in tasks], axis=0)
    settings = Generation(temperature=0, max_tokens=64)
    said = iter(model.generate(prompts, rows, settings, batch_size=64))
    return mark(tasks, [[next(said) for _ in of] for of in tasks])


if __name__ == "__main__":
    main()
