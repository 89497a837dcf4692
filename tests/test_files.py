"""congeal.files: a file is whole or it is as it was before."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from congeal.errors import CongealError
from congeal.files import atomic_path, lock_folder, remove_parts, write_json, write_text


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "note.txt", "ä")
    assert (tmp_path / "a" / "b" / "note.txt").read_bytes() == "ä".encode()


def test_a_path_may_be_given_as_text(tmp_path: Path) -> None:
    write_text(str(tmp_path / "note.txt"), "x")
    assert (tmp_path / "note.txt").read_text() == "x"


def test_the_temporary_path_keeps_folder_and_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "labels.tif") as temporary:
        temporary.write_bytes(b"x")
        assert temporary.suffix == ".tif"
        assert temporary.parent == tmp_path
        assert not (tmp_path / "labels.tif").exists()


def test_what_stood_there_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["note.txt"]


@pytest.mark.parametrize("failure", [RuntimeError("bug"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, failure: BaseException
) -> None:
    target = tmp_path / "note.txt"
    target.write_text("old")

    def write() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(type(failure)):
        write()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["note.txt"]


def test_a_full_disk_is_told_in_one_line_with_the_path(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    target.write_text("old")

    def write() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(CongealError) as caught:
        write()
    assert str(caught.value) == f"cannot write {target}: No space left on device"
    assert target.read_text() == "old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_full_is_told_the_same_way(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "note.txt"), Path("/dev/full").open("w") as full:
            full.write("x")

    with pytest.raises(CongealError, match="No space left on device"):
        write()


def test_a_file_that_stands_where_a_folder_should_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(CongealError, match="cannot write") as caught:
        write_text(tmp_path / "a" / "note.txt", "x")
    assert str(tmp_path / "a") in str(caught.value)


def test_a_folder_is_not_overwritten_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(CongealError, match="cannot write"):
        write_text(tmp_path / "out", "x")
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CongealError, match="Permission denied"):
            write_text(tmp_path / "note.txt", "x")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("nowhere", ["", ".", "/"])
def test_a_path_without_a_file_name_is_refused(nowhere: str) -> None:
    with pytest.raises(CongealError, match="expected the path of a file to write"):
        write_text(nowhere, "x")


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".txt")
    write_text(target, "x")
    assert target.read_text() == "x"


def test_a_missing_source_inside_the_block_is_named(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "copy.txt") as temporary:
            temporary.write_bytes((tmp_path / "source.txt").read_bytes())

    with pytest.raises(CongealError, match=r"source\.txt"):
        write()


def test_two_writers_of_one_file_do_not_meet_in_the_temporary_one(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    texts = [letter * 100_000 for letter in "abcdef"]
    threads = [threading.Thread(target=write_text, args=(target, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_text() in texts
    assert os.listdir(tmp_path) == ["note.txt"]


def test_json_ends_with_a_newline_and_reads_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None, "ü"]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text) == {"b": [1, 2.5, None, "ü"]}


def test_json_that_other_tools_could_not_read_is_never_written(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"score": math.nan})
    assert (tmp_path / "a.json").read_text() == "{}"


def test_a_folder_is_claimed_by_one_at_a_time_and_free_afterwards(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "out"):
        with pytest.raises(CongealError) as caught, lock_folder(tmp_path / "out"):
            pass
        said = f"another congeal process (pid {os.getpid()}) is writing to {tmp_path / 'out'}"
        assert str(caught.value) == said
    with lock_folder(tmp_path / "out"):
        pass
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.skipif(os.name != "posix", reason="ends a process by a signal")
def test_the_claim_of_a_killed_process_does_not_last(tmp_path: Path) -> None:
    script = (
        "import os, sys; from congeal.files import lock_folder\n"
        "with lock_folder(sys.argv[1]): os.kill(os.getpid(), 9)\n"
    )
    source = str(Path(__file__).parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run([sys.executable, "-c", script, tmp_path], env=environment)
    assert done.returncode == -9
    assert os.listdir(tmp_path) == [".congeal.lock"]
    with lock_folder(tmp_path):
        pass


def test_who_waits_for_a_claim_gets_it_in_turn(tmp_path: Path) -> None:
    inside: list[int] = []

    def work() -> None:
        for _ in range(50):
            with lock_folder(tmp_path, wait=True):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == []


def test_old_parts_of_dead_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    gone = int(dead.stdout)
    kept = [f".{os.getpid()}-0123abcd.part.png", f".{gone}-0123abcd.part", ".a-b.part", "a.part"]
    for name in [*kept, f".{gone}-deadbeef.part.png"]:
        (tmp_path / name).write_text("x")
        if "0123abcd.part" not in name or ".png" in name:
            os.utime(tmp_path / name, (1, 1))
    assert [path.name for path in remove_parts(tmp_path)] == [f".{gone}-deadbeef.part.png"]
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_names_that_are_no_utf8_are_escaped(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", os.fsdecode(b"\xe9"))
    assert (tmp_path / "a.txt").read_text() == r"\udce9"
