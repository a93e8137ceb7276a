"""Vectors to neighbours: index folders built, checked, published and searched.

Nothing here imports torch: searching needs numpy, FAISS and the catalog, and an encoder is handed
in by the caller (``protocols.py``).
"""
