import pickle
import threading

import pytest
import torch

from congeal.errors import CongealError
from congeal.training.read_ahead import ReadAhead


def made(number):
    return torch.full((1, 2, 2), float(number)), torch.zeros(2, 2, dtype=torch.int32)


class Noted:
    """Makes samples when it is let to, and notes which, in which thread, of how many cores."""

    def __init__(self):
        self.go = threading.Event()
        self.numbers, self.threads, self.cores = [], set(), set()

    def __call__(self, number):
        assert self.go.wait(30)
        self.numbers.append(number)
        self.threads.add(threading.current_thread())
        self.cores.add(torch.get_num_threads())
        return made(number)


@pytest.fixture
def noted():
    noted = Noted()
    noted.go.set()
    return noted


def value(sample):
    return sample[0].flatten()[0].item()


def test_samples_come_as_asked_for_and_each_is_made_once(noted):
    reader = ReadAhead(noted)
    for number in range(5):
        assert value(reader.take(number, range(number + 1, number + 3))) == number
    reader.thread.shutdown(wait=True)
    assert noted.numbers == [0, 1, 2, 3, 4, 5, 6]


def test_another_thread_makes_them_on_one_core(noted):
    before = torch.get_num_threads()
    reader = ReadAhead(noted)
    reader.take(0, [1])
    reader.take(1)
    assert threading.current_thread() not in noted.threads
    assert noted.cores == {1}
    assert torch.get_num_threads() == before
    reader.close()


def test_what_will_not_be_asked_for_any_more_is_given_up(noted):
    reader = ReadAhead(noted)
    reader.take(0, [1, 2, 3])
    assert value(reader.take(2, [3, 8])) == 2
    assert set(reader.pending) == {3, 8}
    reader.close()


def test_a_fault_comes_out_where_the_sample_is_taken():
    def refuse(number):
        if number == 5:
            raise CongealError(f"cannot read {number}")
        return made(number)

    reader = ReadAhead(refuse)
    assert value(reader.take(4, [5])) == 4
    with pytest.raises(CongealError, match="cannot read 5"):
        reader.take(5)
    reader.close()


def test_after_closing_nothing_waiting_is_made():
    noted = Noted()
    reader = ReadAhead(noted)
    for number in range(10):
        reader.pending[number] = reader._executor().submit(noted, number)
    reader.close()
    noted.go.set()
    assert value(reader.take(4)) == 4
    assert len(noted.numbers) <= 2  # the one that was under way, and the one taken
    reader.close()


def test_a_reader_travels_to_another_process_without_its_thread():
    reader = ReadAhead(made)
    reader.take(0, [1])
    twin = pickle.loads(pickle.dumps(reader))
    assert not twin.pending
    assert torch.equal(twin.take(1)[0], reader.take(1)[0])
    reader.close()
    twin.close()
