"""``anybind train``."""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .options import add_common, positive, positive_number
from .output import print_json

if TYPE_CHECKING:
    from ..llm.records import Source


def add_train(parser: argparse.ArgumentParser) -> None:
    """The options of ``anybind train``."""
    add = parser.add_argument
    add("--phase", required=True, choices=("pretrain", "finetune"), help="what is trained: the "
        "bind network, layer queries and gates, or LoRA, biases and norms")  # fmt: skip
    add("--base", required=True, type=Path, metavar="DIR", help="the language model's folder")
    add("--data", nargs="+", default=[], type=_data, metavar="PATH[=WEIGHT]", help="folders or "
        "globs of webdataset shards, .json or .jsonl lists of LLaVA's or Alpaca's layout; a weight "
        "says how often an epoch shows each record (default 1)")  # fmt: skip
    add("--out", type=Path, metavar="DIR", help="a folder for the adapter, its log and checkpoints")
    add("--adapter", type=Path, metavar="FILE", help="what to go on from; finetune needs one")
    add("--image-root", type=Path, metavar="DIR", help="of a list's pictures (default: its folder)")
    add("--vectors", type=Path, metavar="DIR", help="pictures' vectors, which trainings may share")
    add("--epochs", type=positive_number, default=1.0, metavar="X", help="default 1")
    add("--steps", type=positive, metavar="N", help="instead of --epochs")
    add("--batch-size", type=positive, default=32, metavar="N", help="records a step, over all "
        "processes (default 32)")  # fmt: skip
    add("--accumulation", type=positive, default=1, metavar="N", help="cut each process's share "
        "into N parts, to save memory")  # fmt: skip
    add("--lr", type=positive_number, metavar="X", help="peak learning rate (default: as "
        "published, for the phase and the batch)")  # fmt: skip
    add("--weight-decay", type=float, default=0.02, metavar="X", help="default 0.02")
    add("--warmup", type=float, default=0.03, metavar="SHARE", help="of the steps (default 0.03)")
    add("--max-norm", type=positive_number, metavar="X", help="shorten longer gradients")
    add("--max-tokens", type=positive, default=512, metavar="N", help="a record (default 512)")
    add("--seed", type=int, default=0, metavar="N")
    add("--lora-rank", type=positive, default=16, metavar="N", help="of new LoRA (default 16)")
    add("--shard", action="store_true", help="spread the weights over the processes (FSDP)")
    add("--checkpoint-seconds", type=positive_number, default=300.0, metavar="S")
    add("--expect-base", metavar="FINGERPRINT", help="refuse another base")
    add(
        "--force", action="store_true", help="go on with another base or encoder than the adapter's"
    )
    add("--plan", action="store_true", help="count what would be trained, and stop; needs the "
        "base's config.json or params.json alone")  # fmt: skip
    add("--encoder", default="imagebind-mini", metavar="NAME|FILE", help="of the pictures")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    add_common(parser)
    parser.set_defaults(command=_train)


def _train(args: argparse.Namespace) -> None:
    from ..llm.config import Phase

    if args.plan:
        _train_plan(args)
        return
    if args.out is None or not args.data:
        raise UsageError("name what to learn from with --data, and a folder for it with --out")
    args.interrupted = f"stopped; {args.out} keeps what was done: run the same command to go on"
    from ..llm.training import Settings, train

    names = ("epochs", "steps", "batch_size", "accumulation", "lr", "weight_decay", "warmup")
    more = ("max_norm", "precision", "max_tokens", "seed", "shard", "checkpoint_seconds")
    given = {name: getattr(args, name) for name in (*names, *more)}
    path = train(
        args.base,
        args.data,
        args.out,
        Settings(phase=Phase(args.phase), **given),
        encoder=args.encoder,
        adapter=args.adapter,
        lora_rank=args.lora_rank,
        image_root=args.image_root,
        vectors=args.vectors,
        device=args.device,
        expect_base=args.expect_base,
        force=args.force,
    )
    if os.environ.get("RANK", "0") != "0":  # one of several processes speaks
        return
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if args.json:
        print_json({"adapter": str(path), **card})
        return
    records = sum(source["records"] for source in card["data"])
    skipped = sum(sum(source["skipped"].values()) for source in card["data"])
    print(
        f"{path}: {card['steps']:,} steps on {records:,} records ({skipped:,} skipped), "
        f"loss {card['loss']:.3f}"
    )


def _train_plan(args: argparse.Namespace) -> None:
    """Print the trained parameters by part."""
    from ..encoders.encoder import load_encoder
    from ..llm.config import Phase
    from ..llm.plan import plan

    found = plan(
        args.base,
        Phase(args.phase),
        in_dim=load_encoder(args.encoder).dim,
        adapter=args.adapter,
        lora_rank=args.lora_rank,
    )
    trained = {str(group): n for group, n in found.trained.items()}
    if args.json:
        print_json(
            {"trained": trained, "total": found.total, "frozen": found.frozen, "base": found.base}
        )
        return
    rows = [*trained.items(), ("trained", found.total), ("adapter, frozen", found.frozen)]
    for name, n in [*rows, ("base, frozen", found.base)]:
        print(f"{name:<16}{n:>15,}")


def _data(text: str) -> "Source":
    from ..llm.records import Source

    path, equals, weight = text.rpartition("=")
    try:
        return Source(path=Path(path), weight=float(weight)) if equals else Source(path=Path(text))
    except ValueError:
        return Source(path=Path(text))  # a path with an equals sign in it
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
