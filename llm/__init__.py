"""A vector and a question to words: a LLaMA that sees through a bind network and zero gates.

Nothing here knows where a vector came from. ``config.py`` and ``prompt.py`` need no torch; the rest
needs torch and transformers, and is imported when a language model is wanted.
"""
