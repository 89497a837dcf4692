"""Protection against deadlocks in processes that are forked after PyTorch has started threads.

The threads of PyTorch do not survive a fork, and the child process would wait for them at its first
computation. With one thread PyTorch needs no others.
"""

from __future__ import annotations

import os
import sys

__all__: list[str] = []


def _use_one_thread() -> None:
    torch = sys.modules.get("torch")  # without the module there are no threads either
    if torch is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)
