"""The letters of bytes, as the tokenizers library has them."""

from tokenizers import pre_tokenizers

from anybind.encoders.byte_letters import byte_letters


def test_every_byte_has_the_letter_of_the_tokenizers_library() -> None:
    """Its ByteLevel spells the bytes that UTF-8 has, which are all but thirteen."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    letters = byte_letters()
    assert sorted(letters.values()) == sorted(level.alphabet())
    for text in (chr(code) for code in (*range(0x800), 0x20AC, 0xFFFD, 0x1F600, 0x10FFFF)):
        ((spelt, _),) = level.pre_tokenize_str(text)
        assert spelt == "".join(letters[byte] for byte in text.encode())
