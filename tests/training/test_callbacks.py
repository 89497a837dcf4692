import csv
from types import SimpleNamespace

import pytest

from congeal.errors import CongealError
from congeal.methods import Stage
from congeal.training.callbacks import Clock, History

TRAINEE = SimpleNamespace(seconds=2.0, stage=Stage("map"))


def trainer(step, **more):
    strategy = SimpleNamespace(reduce_boolean_decision=lambda wish, all: wish)
    return SimpleNamespace(
        is_global_zero=True,
        global_step=step,
        current_epoch=step // 10,
        should_stop=False,
        loggers=[],
        strategy=strategy,
        accumulate_grad_batches=1,
        **more,
    )


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_resuming_cuts_off_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "log.csv"
    history = History(path)
    history.on_train_start(trainer(0), TRAINEE)
    for step in (10, 20, 30):
        history.write(trainer(step), TRAINEE, {"loss": 1.0})
    History(path).on_train_start(trainer(20), TRAINEE)
    assert [row["step"] for row in rows(path)] == ["10", "20"]


def test_a_row_cut_short_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "log.csv"
    history = History(path)
    history.on_train_start(trainer(0), TRAINEE)
    history.write(trainer(10), TRAINEE, {"loss": 1.0})
    path.write_text(path.read_text() + "2")
    History(path).on_train_start(trainer(30), TRAINEE)
    assert [row["step"] for row in rows(path)] == ["10"]


def test_a_term_that_comes_up_later_gets_a_column(tmp_path):
    path = tmp_path / "log.csv"
    history = History(path)
    history.on_train_start(trainer(0), TRAINEE)
    history.write(trainer(10), TRAINEE, {"loss": 1.0, "map": 0.75})
    later = SimpleNamespace(seconds=4.0, stage=Stage("verification"))
    history.write(trainer(20), later, {"loss": 0.5, "verdict": 0.5})
    first, second = rows(path)
    assert (first["stage"], first["map"], first["verdict"]) == ("map", "0.75", "")
    assert (second["stage"], second["map"], second["verdict"]) == ("verification", "", "0.5")
    resumed = History(path)
    resumed.on_train_start(trainer(20), later)
    resumed.write(trainer(30), later, {"loss": 0.25, "verdict": 0.125})
    assert [row["verdict"] for row in rows(path)] == ["", "0.5", "0.125"]


def test_a_new_training_begins_a_new_log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("something else\n1\n")
    History(path).on_train_start(trainer(0), TRAINEE)
    assert rows(path) == []


def test_a_log_that_is_foreign_is_begun_anew(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2\n")
    History(path).on_train_start(trainer(5), TRAINEE)
    assert rows(path) == []


def test_a_log_that_cannot_be_written_is_told_in_one_line(tmp_path):
    with pytest.raises(CongealError, match=r"cannot write .*log.csv: No such file"):
        History(tmp_path / "gone" / "log.csv").write(trainer(1), TRAINEE, {})


def test_the_clock_stops_between_updates_only():
    clock, run = Clock(), trainer(3)
    run.accumulate_grad_batches = 4
    clock.stop_requested = True
    stopped = []
    for batch in range(4):
        clock.on_train_batch_end(run, SimpleNamespace(progress=0.5), None, None, batch)
        stopped.append(run.should_stop)
    assert stopped == [False, False, False, True]


def test_the_clock_stops_the_training_at_its_end():
    run = trainer(3)
    Clock().on_train_batch_end(run, SimpleNamespace(progress=0.99), None, None, 0)
    assert not run.should_stop
    Clock().on_train_batch_end(run, SimpleNamespace(progress=1.0), None, None, 1)
    assert run.should_stop


def test_the_clock_of_the_first_process_counts():
    other = trainer(3)
    other.is_global_zero = False
    Clock().on_train_batch_end(other, SimpleNamespace(progress=1.0), None, None, 1)
    assert not other.should_stop


def test_any_process_may_be_asked_to_stop():
    clock, other = Clock(), trainer(3)
    other.is_global_zero, clock.stop_requested = False, True
    clock.on_train_batch_end(other, SimpleNamespace(progress=0.0), None, None, 1)
    assert other.should_stop
