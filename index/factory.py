"""Which FAISS index suits how many vectors.

Below ``EXACT_BELOW`` vectors every query is compared with all of them: exact, and done in a few
milliseconds at most. Above, an inverted file holds float16 codes, half the memory of float32 and
indistinguishable in recall; how many of its lists a search visits is measured, not guessed.
"""

import math

EXACT_BELOW = 10_000  # vectors
POINTS_PER_LIST = 40  # vectors of the training sample; FAISS warns below 39


def choose_factory(n: int) -> str:
    """FAISS's factory string for ``n`` vectors.

    Inverted files get the power of two nearest to 4 √n lists, FAISS's own advice (its wiki,
    "Guidelines to choose an index"), as far as there are enough vectors to train them.
    """
    if n < EXACT_BELOW:
        return "Flat"
    advised = round(math.log2(4 * math.sqrt(n)))
    trainable = math.floor(math.log2(n / POINTS_PER_LIST))
    return f"IVF{2 ** min(advised, trainable)},SQfp16"
