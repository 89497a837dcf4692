import inspect
from functools import partial

import pytest

from congeal.errors import CongealError
from congeal.experiments import EXPERIMENTS, choose_experiments, run_experiment
from congeal.experiments.result import new_figure, save_figure


def test_all_is_every_experiment_and_a_name_is_itself():
    assert choose_experiments("all") == tuple(EXPERIMENTS)
    assert choose_experiments("rpe.margins") == ("rpe.margins",)


def test_an_unknown_experiment_gets_the_nearest():
    with pytest.raises(CongealError, match=r"did you mean 'rpe\.gradient'"):
        choose_experiments("rpe.gradeint")


def test_what_an_experiment_does_not_take_is_refused(tmp_path):
    with pytest.raises(CongealError, match=r"rpe\.loss takes no minutes"):
        run_experiment("rpe.loss", tmp_path, quick=True, minutes=3.0)


def stem(name):
    """What the files of an experiment are called; methods after RPE put their own name before."""
    return name.removeprefix("rpe.").replace(".", "_")


def test_no_two_experiments_share_a_file():
    assert len({stem(name) for name in EXPERIMENTS}) == len(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_the_same_options_and_a_short_line(name):
    draw = EXPERIMENTS[name].draw
    parameters = inspect.signature(draw).parameters
    assert list(parameters)[:3] == ["folder", "quick", "seed"]
    asked = {"minutes", "seeds", "data", "images", "methods"}
    assert {*parameters} <= {"folder", "quick", "seed", *asked}
    if isinstance(draw, partial):  # an ablation, which has its name from its setting
        assert f"segsort.{draw.args[0].name}" == name
    else:
        assert draw.__name__ == f"draw_{stem(name)}"
    assert 10 < len(EXPERIMENTS[name].what) < 80


def test_the_same_figure_is_the_same_file(tmp_path):
    made = [save_figure(tmp_path / name, "a", new_figure(2, 2, "A"), [], {}) for name in "xy"]
    assert made[0].png.read_bytes() == made[1].png.read_bytes()


def test_rows_may_leave_cells_empty(tmp_path):
    rows = [{"a": 1, "b": 0.25}, {"a": None, "c": "x"}]
    made = save_figure(tmp_path, "a", new_figure(2, 2, "A"), rows, {"n": 1})
    assert made.csv.read_text() == "a,b,c\n1,0.25,\n,,x\n"
    assert made.numbers == {"n": 1.0}


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CongealError, match="cannot write"):
        save_figure(tmp_path / "file", "a", new_figure(2, 2, "A"), [], {})
