import pickle
import threading

import pytest
import torch

from congeal.errors import CongealError
from congeal.training.read_ahead import ReadAhead, bytes_of

SMALL = 24  # bytes of what is read here


def loaded(index):
    return torch.full((1, 2, 2), float(index)).half(), torch.zeros(2, 2, dtype=torch.int32)


class Slow:
    """Reads when it is let to, and notes what and in which thread."""

    def __init__(self):
        self.go = threading.Event()
        self.read, self.threads = [], []

    def __call__(self, index):
        self.threads.append(threading.current_thread())
        assert self.go.wait(30)
        self.read.append(index)
        return loaded(index)


def test_what_was_announced_is_read_by_a_thread_and_what_was_not_by_the_caller():
    slow = Slow()
    slow.go.set()
    reader = ReadAhead(slow, 1000)
    reader.announce([3])
    assert reader.take(3)[0].flatten()[0] == 3
    assert reader.take(8)[0].flatten()[0] == 8
    assert slow.threads[0] is not threading.current_thread()
    assert slow.threads[1] is threading.current_thread()
    reader.close()


def test_an_image_is_read_once_however_often_it_is_announced():
    slow = Slow()
    slow.go.set()
    reader = ReadAhead(slow, 1000)
    reader.take(0)
    reader.announce([1, 2, 1])
    reader.announce([2, 3])
    for index in (1, 2, 3):
        reader.take(index)
    assert slow.read == [0, 1, 2, 3]
    reader.close()


@pytest.mark.parametrize(("memory", "ahead"), [(SMALL - 1, 0), (SMALL, 1), (3.5 * SMALL, 3)])
def test_no_more_is_read_ahead_than_memory_allows(memory, ahead):
    assert bytes_of(loaded(0)) == SMALL
    reader = ReadAhead(loaded, memory)
    reader.announce(range(5))
    assert len(reader.coming) == 1  # how large images are is not known yet
    reader.take(0)
    reader.announce(range(1, 9))
    assert list(reader.coming) == list(range(1, 1 + ahead))
    reader.close()


def test_a_fault_comes_out_where_the_image_is_taken():
    def refuse(index):
        raise CongealError(f"cannot read {index}")

    reader = ReadAhead(refuse, 1000)
    reader.announce([5])
    with pytest.raises(CongealError, match="cannot read 5"):
        reader.take(5)
    reader.close()


def test_after_closing_nothing_waiting_is_read():
    slow = Slow()
    reader = ReadAhead(slow, 1000)
    reader.largest = SMALL
    reader.announce(range(10))
    reader.close()
    slow.go.set()
    assert reader.take(4)[0].flatten()[0] == 4
    assert len(slow.read) <= 2  # the one that was under way, and the one taken


def test_a_reader_travels_to_another_process_without_its_thread():
    reader = ReadAhead(loaded, 1000)
    reader.announce([1])
    twin = pickle.loads(pickle.dumps(reader))
    assert not twin.coming
    assert torch.equal(twin.take(1)[0], reader.take(1)[0])
    reader.close()
