"""Processes that run `tests.crash.worker`, without an interpreter's start for each."""

from multiprocessing import get_context

NODES = get_context("forkserver")
"""A server that has imported everything forks them; pytest, with its threads, never forks."""
NODES.set_forkserver_preload(["tests.crash.worker"])
