"""How fast answers are drawn, against the same LLaMA without an adapter.

Both draw the same number of tokens greedily; the plain one with transformers' ``generate``. They
take turns, and each round's ratio counts, so that a busy machine slows both. Weights are random:
speed does not depend on them.

    python scripts/bench_llm.py --size mini
    python scripts/bench_llm.py --size 7b --device cuda --precision bf16
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from anybind.llm.config import AdapterConfig, BindConfig, Generation
from anybind.llm.generation import answers
from anybind.llm.network import Network

SIZES = {  # width, hidden width of a block's MLP, layers, heads, vocabulary, joint space
    "mini": (256, 688, 6, 8, 4096, 256),
    "7b": (4096, 11_008, 32, 32, 32_000, 1024),
}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PROMPT = 64  # tokens


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
    torch.manual_seed(0)
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="mini")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tokens", type=int, default=128, help="drawn for each prompt")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()

    dtype = PRECISIONS[args.precision]
    plain, in_dim = model_of(args.size, args.device, dtype)
    seeing, _ = model_of(args.size, args.device, dtype)
    dim, _, n_layers, n_heads, vocabulary, _ = SIZES[args.size]
    bind = BindConfig(in_dim=in_dim, dim=dim, hidden=4 * dim)
    network = Network(seeing, AdapterConfig(bind=bind, n_layers=n_layers, n_heads=n_heads))
    for parameter in network.adapter().values():
        parameter.data = parameter.data.to(args.device, dtype)
    network.eval().requires_grad_(False)
    network.fold()

    print(f"{args.size}, {args.precision}, {args.device}, torch {torch.__version__}, ", end="")
    print(f"{torch.get_num_threads()} threads, {platform.machine()}, {args.tokens} tokens a prompt")
    print("\n| batch | plain tokens/s | with adapter tokens/s | ratio |\n| --- | --- | --- | --- |")
    for batch in args.batches:
        prompts = torch.randint(3, vocabulary, (batch, PROMPT), device=args.device)
        rows: list[list[int]] = prompts.tolist()
        vectors = torch.nn.functional.normalize(torch.randn(batch, in_dim, device=args.device))

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

        def ours(rows: list[list[int]] = rows, vectors: torch.Tensor = vectors) -> list[list[int]]:
            settings = Generation(temperature=0, max_tokens=args.tokens)
            seeds = [None] * len(rows)
            with torch.inference_mode(), network.seeing(vectors):
                found = answers(seeing, rows, settings, eos=(), n_new=args.tokens, seeds=seeds)
            assert all(len(row) == args.tokens for row in found)
            return found

        for warm_up in (alone, ours):
            warm_up()
        pairs = [
            (seconds(alone, args.device), seconds(ours, args.device)) for _ in range(args.rounds)
        ]
        n = batch * args.tokens
        rates = [n / statistics.median(times) for times in zip(*pairs, strict=True)]
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"| {batch} | {rates[0]:.1f} | {rates[1]:.1f} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
