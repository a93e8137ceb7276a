"""The letters that stand for bytes in vocabularies of byte pairs, CLIP's and LLaMA 3's among them.

Source: Radford et al. 2019, GPT-2, whose vocabulary is written so.
"""

from collections.abc import Mapping

N_BYTES = 256


def byte_letters() -> Mapping[int, str]:
    """The letter of every byte, in the order in which vocabularies begin.

    Printable Latin-1 bytes stand for themselves and come first; the others follow, from U+0100.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, N_BYTES)]
    others = [byte for byte in range(N_BYTES) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(N_BYTES + place) for place, byte in enumerate(others)}
