"""Keeping a process that was forked after PyTorch computed something from waiting for ever.

The threads PyTorch computes with do not survive a fork, and the child would wait for them at its
first computation. With one thread it does without.
"""

from __future__ import annotations

import os
import sys

__all__: list[str] = []


def _use_one_thread() -> None:
    torch = sys.modules.get("torch")  # who has not loaded it has no threads of it
    if torch is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)
