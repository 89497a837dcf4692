import io
from types import SimpleNamespace

from rich.console import Console

from congeal.methods.rpe import RPE
from congeal.tasks import TASKS
from congeal.training.progress import LiveProgress


def trainee(note=""):
    model = SimpleNamespace(note=lambda progress: note if progress < 0.8 else "")
    terms = {"loss": 1.5}
    return SimpleNamespace(terms=terms, rate=2e-3, seconds=60.0, progress=0.25, model=model)


def run(terminal, note=""):
    file = io.StringIO()
    progress = LiveProgress(Console(file=file, force_terminal=terminal, width=160))
    progress.scores = {"matching_ap@0.5": 0.81}
    trainer = SimpleNamespace(is_global_zero=True, global_step=7)
    training = trainee(note)
    progress.on_train_start(trainer, training)
    progress.on_train_batch_end(trainer, training, None, None, 0)
    progress.close()
    progress.close()
    return file.getvalue()


def test_a_line_says_loss_rate_score_and_time_left():
    said = run(terminal=False)
    assert said.startswith("training 25%")
    for part in ("step 7", "loss 1.500", "lr 2.0e-03", "val ap@0.5 0.810", "3:00 left"):
        assert part in said


def test_a_terminal_gets_a_bar():
    said = run(terminal=True)
    assert "25%" in said
    assert "3:00 left" in said


def test_where_the_method_has_something_to_say_no_score_alarms():
    said = run(terminal=False, note=RPE(dimensions=4, mean_shift_start=0.8).note(0.25))
    assert "mean shift joins at 80%" in said
    assert "ap@" not in said


def test_on_80_columns_nothing_is_cut():
    file = io.StringIO()
    progress = LiveProgress(Console(file=file, force_terminal=True, width=80, height=25))
    progress.scores = {"matching_ap@0.5": 0.81}
    training = trainee()
    training.seconds, training.progress = 7000.0, 0.5
    trainer = SimpleNamespace(is_global_zero=True, global_step=12345)
    progress.on_train_start(trainer, training)
    progress.on_train_batch_end(trainer, training, None, None, 0)
    progress.close()
    assert "116:40 left" in file.getvalue()


def test_validation_and_tuning_say_how_far_they_are_where_there_is_no_terminal(capsys):
    file = io.StringIO()
    progress = LiveProgress(Console(file=file, width=80))
    progress.validating(3, 32)
    assert progress.line == "validating: 3 of 32"
    with progress.tuning() as tell:
        tell(14, 19, 0.81, TASKS["instances"].score)
    said = "tuning the decoding: 14 of ~19 settings, best mean AP at .5 and .7: 0.810"
    assert file.getvalue().splitlines()[-1] == said
    assert len(said) <= 80 - len("⠼ ")
