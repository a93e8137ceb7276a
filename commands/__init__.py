"""The commands of ``anybind``: each adds its options to a parser, and does its work.

A module a command, with what they share in :mod:`.options` and :mod:`.output`. What takes long to
import is imported where it is used, so that ``--help`` comes at once.
"""
