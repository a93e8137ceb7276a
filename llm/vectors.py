"""Vectors of pictures on disk, so that no stage of training encodes a picture again.

A picture is known by the SHA-256 of its bytes, and a folder belongs to one encoder: ``keys.bin``
holds 32 bytes and ``vectors.bin`` one row of float32 for each, in the order they came. Rows are
written before their keys, so what a killed run leaves behind is whole.
"""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from ..encoders.encoder import Encoder
from ..encoders.modality import Modality, Vectors
from ..encoders.preprocess import Prepared
from ..errors import MediaError
from ..files import writing
from .records import Picture

logger = logging.getLogger(__name__)

KEY_BYTES = 32  # of SHA-256
Key = bytes


class VectorStore:
    """The vectors of one encoder's pictures."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        """Open or begin the store of an encoder below ``folder``."""
        self.encoder = encoder
        self.folder = folder / encoder.fingerprint.removeprefix("sha256:")[:16]
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._keys_path.touch()
            self._vectors_path.touch()

    @property
    def _keys_path(self) -> Path:
        return self.folder / "keys.bin"

    @property
    def _vectors_path(self) -> Path:
        return self.folder / "vectors.bin"

    def rows(self) -> dict[Key, int]:
        """The row of each picture that is there."""
        content = self._keys_path.read_bytes()
        n = len(content) // KEY_BYTES
        return {content[i * KEY_BYTES : (i + 1) * KEY_BYTES]: i for i in range(n)}

    def vectors(self) -> Vectors:
        """All rows ``(n, dim)``, read from the disk as they are used."""
        n = self._keys_path.stat().st_size // KEY_BYTES
        if not n:
            return np.empty((0, self.encoder.dim), np.float32)
        return np.memmap(self._vectors_path, np.float32, "r", shape=(n, self.encoder.dim))

    def encode(self, pictures: Mapping[Key, Picture], *, progress: bool = False) -> dict[Key, str]:
        """Add the vectors of those pictures that are not there yet.

        Of several processes one encodes while the others wait for it.

        Returns:
            The pictures that cannot be read, and why.
        """
        broken: dict[Key, str] = {}
        with FileLock(self.folder / "lock"):
            known = self.rows()
            missing = [key for key in pictures if key not in known]
            if not missing:
                return broken
            self._drop_unfinished(len(known))
            step = self.encoder.batch_size(Modality.IMAGE)
            prepare = self.encoder.preprocessor(Modality.IMAGE)

            def prepared(key: Key) -> Prepared | str:
                try:
                    return prepare(pictures[key].read())
                except (MediaError, OSError) as error:
                    return str(error)

            with (
                ThreadPoolExecutor(os.cpu_count()) as pool,
                tqdm(total=len(missing), desc="pictures", disable=not progress) as bar,
            ):
                for start in range(0, len(missing), step):
                    batch = missing[start : start + step]
                    found = dict(zip(batch, pool.map(prepared, batch), strict=True))
                    broken |= {key: why for key, why in found.items() if isinstance(why, str)}
                    good = {key: x for key, x in found.items() if not isinstance(x, str)}
                    if good:
                        made = self.encoder.encode_prepared(Modality.IMAGE, list(good.values()))
                        self._append(list(good), made)
                    bar.update(len(batch))
            logger.info("encoded pictures=%d broken=%d", len(missing) - len(broken), len(broken))
        return broken

    def _append(self, keys: Sequence[Key], vectors: Vectors) -> None:
        for path, content in (
            (self._vectors_path, vectors.astype(np.float32).tobytes()),
            (self._keys_path, b"".join(keys)),
        ):
            with writing(path), path.open("ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())

    def _drop_unfinished(self, n: int) -> None:
        """Cut off what a killed run wrote behind the last whole row."""
        for path, width in (
            (self._keys_path, KEY_BYTES),
            (self._vectors_path, 4 * self.encoder.dim),
        ):
            os.truncate(path, n * width)


def key_of(picture: Picture) -> Key:
    """The SHA-256 of a picture's bytes.

    Raises:
        OSError: It cannot be read.
    """
    return hashlib.sha256(picture.read()).digest()
