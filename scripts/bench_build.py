"""How fast build-index is, beside its encoder alone.

Three rates over the same pictures: the encoder on arrays that are ready, the encoder from files in
one process, and the whole build: reading, decoding in worker processes, thumbnails, encoding,
hashing, writing. With as many cores as a GPU wants the last comes near the first; on a machine
where decoding and encoding share the cores, near the second.

    python scripts/bench_build.py --input 'data/demo/{00000..00004}.tar'
"""

import argparse
import json
import os
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

from anybind.encoders.encoder import load_encoder
from anybind.encoders.modality import Modality
from anybind.index.decode import read
from anybind.index.pipeline import ENCODE_ITEMS, BuildOptions, build_index
from anybind.index.sources import open_source


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--source", default="webdataset")
    add("--input", nargs="+", default=["data/demo/{00000..00004}.tar"])
    add("--limit", type=int, default=5000)
    add("--encoder", default="imagebind-mini")
    add("--workers", type=int, help="decoding processes; default: one a core")
    add("--no-thumbnails", dest="thumbnails", action="store_false")
    args = parser.parse_args()

    encoder = load_encoder(args.encoder)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        source = open_source(args.source, args.input, out=out, limit=args.limit)
        media = [s.media for s in islice(source.samples(), args.limit) if s.media is not None]
        files = [read(item) for item in media]
        prepare = encoder.preprocessor(Modality.IMAGE)
        ready = [prepare(file) for file in files]
        encoder.encode_prepared(Modality.IMAGE, ready[:ENCODE_ITEMS])  # reads the weights

        start = time.perf_counter()
        for i in range(0, len(ready), ENCODE_ITEMS):
            encoder.encode_prepared(Modality.IMAGE, ready[i : i + ENCODE_ITEMS])
        arrays = len(ready) / (time.perf_counter() - start)

        start = time.perf_counter()
        vectors = encoder.encode(Modality.IMAGE, files)
        in_process = len(files) / (time.perf_counter() - start)

        options = BuildOptions(
            source=args.source,
            inputs=tuple(args.input),
            out=out,
            limit=args.limit,
            workers=args.workers,
            thumbnails=args.thumbnails,
        )
        built = build_index(options, encoder, progress=False)
        stored = np.load(out / "img_emb/img_emb_0000.npy").astype(np.float32)
        assert np.abs(stored - vectors[: len(stored)]).max() < 1e-2, "the build encodes otherwise"

    print(f"{len(files)} pictures, {os.cpu_count()} cores, {encoder.name} on {encoder.device}")
    print(f"encoder, arrays ready     {arrays:8.1f} images/s")
    print(f"encoder, from files       {in_process:8.1f} images/s")
    print(f"build-index, end to end   {built.items_per_second:8.1f} images/s")
    ratios = {
        "of_arrays": round(built.items_per_second / arrays, 3),
        "of_files": round(built.items_per_second / in_process, 3),
    }
    print(f"end to end / encoder      {json.dumps(ratios)}")


if __name__ == "__main__":
    main()
