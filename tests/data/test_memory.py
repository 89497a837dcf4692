"""Memory is asked for before it is taken."""

from __future__ import annotations

import resource

import pytest

from congeal.data.memory import available_memory, check_memory
from congeal.errors import CongealError


def test_what_is_free_is_known_here() -> None:
    have = available_memory()
    assert have is not None
    assert 2**20 < have < 2**50


def test_a_limit_of_the_process_counts(monkeypatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**20, 2**20))
    assert available_memory() == 0


def test_a_limit_of_the_container_counts(tmp_path, monkeypatch) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr("congeal.data.memory._CGROUP", tmp_path)
    assert available_memory() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory() > 2**20


def test_more_than_there_is_is_refused_in_one_line(monkeypatch) -> None:
    monkeypatch.setattr("congeal.data.memory.available_memory", lambda: 10**9)
    check_memory(10**9, "a.png")
    with pytest.raises(CongealError, match=r"a.png: it needs 1001 MB of memory, 1000 are free"):
        check_memory(10**9 + 10**6, "a.png")
    monkeypatch.setattr("congeal.data.memory.available_memory", lambda: None)
    check_memory(2**60, "a.png")
    with pytest.raises(CongealError, match="too large"):
        check_memory(2**63, "a.png")
