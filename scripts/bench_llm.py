"""How fast answers are drawn, against the same LLaMA without an adapter, and how fast for many.

First table: both draw the same number of tokens greedily; the plain one with transformers'
``generate``. Second: questions that are all asked at the same moment, with prompts and answers of
different lengths and the default settings, answered one after the other and together by
:mod:`anybind.llm.serving`; ``first piece`` is when half of those who asked have heard something.

Both sides take turns, and each round's ratio counts, so that a busy machine slows both. Weights
are random: speed does not depend on them.

    python scripts/bench_llm.py --size mini
    python scripts/bench_llm.py --size 7b --device cuda --precision bf16
"""

import argparse
import platform
import queue
import random
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from anybind.llm.base import Base
from anybind.llm.config import AdapterConfig, BindConfig, Generation
from anybind.llm.model import LanguageModel
from anybind.llm.network import Network
from anybind.llm.serving import ContinuousBatch, Said

SIZES = {  # width, hidden width of a block's MLP, layers, heads, vocabulary, joint space
    "mini": (256, 688, 6, 8, 4096, 256),
    "7b": (4096, 11_008, 32, 32, 32_000, 1024),
}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PROMPT = 64  # tokens
SEED = 0  # of weights, prompts and lengths


class Numbers:
    """A tokenizer whose text is the ids themselves."""

    def __init__(self, size: int) -> None:
        self.size = self.n_tokens = size

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def model_of(size: str, device: str, dtype: torch.dtype) -> tuple[LlamaForCausalLM, int]:
    """A random LLaMA, and the width of the vectors it would see."""
    dim, hidden, n_layers, n_heads, vocabulary, in_dim = SIZES[size]
    config = LlamaConfig(
        hidden_size=dim,
        intermediate_size=hidden,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        vocab_size=vocabulary,
        eos_token_id=None,  # every answer has its full length
    )
    torch.manual_seed(SEED)
    with torch.device(device):
        llama = LlamaForCausalLM(config).requires_grad_(False)
    llama.train(False)
    for parameter in llama.parameters():  # the rotation's buffers keep their precision
        parameter.data = parameter.data.to(dtype)
    return llama, in_dim


def seconds(work: Callable[[], object], device: str) -> float:
    """Wall-clock time of one call, the device's work included."""
    start = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def model_with_adapter(size: str, device: str, dtype: torch.dtype) -> LanguageModel:
    """A random LLaMA that sees; no token ends its answers."""
    llama, in_dim = model_of(size, device, dtype)
    dim, _, n_layers, n_heads, vocabulary, _ = SIZES[size]
    bind = BindConfig(in_dim=in_dim, dim=dim, hidden=4 * dim)
    network = Network(llama, AdapterConfig(bind=bind, n_layers=n_layers, n_heads=n_heads))
    for parameter in network.adapter().values():
        parameter.data = parameter.data.to(device, dtype)
    network.eval().requires_grad_(False)
    network.fold()
    base = Base(
        path=Path(size),
        llama=llama,
        tokenizer=Numbers(vocabulary),
        bos=None,
        eos=(),
        fingerprint="random",
    )
    return LanguageModel(base, network)


def against_plain(args: argparse.Namespace, dtype: torch.dtype, model: LanguageModel) -> None:
    """The first table."""
    plain, in_dim = model_of(args.size, args.device, dtype)
    vocabulary = SIZES[args.size][4]
    print("\n| batch | plain tokens/s | with adapter tokens/s | ratio |\n| --- | --- | --- | --- |")
    for batch in args.batches:
        prompts = torch.randint(3, vocabulary, (batch, PROMPT), device=args.device)
        texts = [model.base.tokenizer.decode(row) for row in prompts.tolist()]
        vectors = torch.nn.functional.normalize(torch.randn(batch, in_dim))

        def alone(prompts: torch.Tensor = prompts) -> object:
            # its declared type asks for attributes that no LLaMA has
            generate: Callable[..., object] = getattr(plain, "generate")  # noqa: B009
            with torch.inference_mode():
                return generate(
                    input_ids=prompts,
                    attention_mask=torch.ones_like(prompts),
                    max_new_tokens=args.tokens,
                    do_sample=False,
                    pad_token_id=0,
                )

        def ours(texts: list[str] = texts, vectors: torch.Tensor = vectors) -> None:
            settings = Generation(temperature=0, max_tokens=args.tokens)
            found = model.generate(texts, vectors, settings, batch_size=len(texts))
            assert all(len(text.split()) == args.tokens for text in found)

        for warm_up in (alone, ours):
            warm_up()
        pairs = [
            (seconds(alone, args.device), seconds(ours, args.device)) for _ in range(args.rounds)
        ]
        n = batch * args.tokens
        rates = [n / statistics.median(times) for times in zip(*pairs, strict=True)]
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"| {batch} | {rates[0]:.1f} | {rates[1]:.1f} | {ratio:.3f} |", flush=True)


def together(args: argparse.Namespace, model: LanguageModel) -> None:
    """The second table."""
    draw = random.Random(SEED)
    vocabulary, in_dim = SIZES[args.size][4:]
    asked: list[tuple[str, torch.Tensor, Generation]] = []
    for _ in range(args.questions):
        ids = [draw.randrange(3, vocabulary) for _ in range(draw.randint(PROMPT // 4, 2 * PROMPT))]
        settings = Generation(max_tokens=draw.randint(args.tokens // 8, args.tokens), seed=SEED)
        vector = torch.nn.functional.normalize(torch.randn(in_dim), dim=0)
        asked.append((model.base.tokenizer.decode(ids), vector, settings))
    n = sum(settings.max_tokens for *_, settings in asked)

    def in_turn() -> list[float]:
        start, first = time.perf_counter(), []
        for prompt, vector, settings in asked:
            for i, _ in enumerate(model.stream(prompt, vector, settings)):
                if i == 0:
                    first.append(time.perf_counter() - start)
        return first

    def at_once(batch: ContinuousBatch) -> list[float]:
        ends: queue.SimpleQueue[Said] = queue.SimpleQueue()
        start, heard = time.perf_counter(), dict[int, float]()

        def hear(who: int, said: Said) -> None:
            heard.setdefault(who, time.perf_counter() - start)
            if not isinstance(said, str):
                ends.put(said)

        for who, (prompt, vector, settings) in enumerate(asked):
            batch.submit(prompt, vector, settings, on_piece=partial(hear, who))
        assert all(ends.get() is None for _ in asked)
        return list(heard.values())

    print(f"\n{args.questions} questions at once, {n} tokens of answers\n")
    print("| drawn together | tokens/s | to one after the other | first piece s | to it |")
    print("| --- | --- | --- | --- | --- |")
    for size in args.max_batches:
        found: list[tuple[float, float, float, float]] = []  # seconds, to first pieces; of both
        with closing(ContinuousBatch(model, max_batch=size, max_waiting=args.questions)) as batch:
            at_once(batch)
            for _ in range(args.rounds):
                row: list[float] = []
                for work in (in_turn, lambda: at_once(batch)):
                    start = time.perf_counter()
                    first = statistics.median(work())
                    row += [time.perf_counter() - start, first]
                found.append((row[0], row[1], row[2], row[3]))
        rate = n / statistics.median(each[2] for each in found)
        ratio = statistics.median(each[0] / each[2] for each in found)
        first = statistics.median(each[3] for each in found)
        sooner = statistics.median(each[1] / each[3] for each in found)
        print(f"| {size} | {rate:.1f} | {ratio:.2f} | {first:.3f} | {sooner:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="mini")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--max-batches", type=int, nargs="*", default=[4, 16])
    parser.add_argument("--questions", type=int, default=32, help="asked at the same moment")
    parser.add_argument("--tokens", type=int, default=128, help="of an answer, at most")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()

    dtype = PRECISIONS[args.precision]
    model = model_with_adapter(args.size, args.device, dtype)
    print(f"{args.size}, {args.precision}, {args.device}, torch {torch.__version__}, ", end="")
    print(f"{torch.get_num_threads()} threads, {platform.machine()}, {args.tokens} tokens")
    against_plain(args, dtype, model)
    together(args, model)


if __name__ == "__main__":
    main()
