import io
from types import SimpleNamespace

from rich.console import Console

from congeal.training.progress import LiveProgress

TRAINEE = SimpleNamespace(terms={"loss": 1.5}, rate=2e-3, seconds=60.0, progress=0.25)


def run(terminal):
    file = io.StringIO()
    progress = LiveProgress(Console(file=file, force_terminal=terminal, width=160))
    trainer = SimpleNamespace(
        is_global_zero=True, global_step=7, congeal_scores={"matching_ap@0.5": 0.81}
    )
    progress.on_train_start(trainer, TRAINEE)
    progress.on_train_batch_end(trainer, TRAINEE, None, None, 0)
    progress.close()
    progress.close()
    return file.getvalue()


def test_a_line_says_loss_rate_score_and_time_left():
    said = run(terminal=False)
    assert said.startswith("training 25%")
    for part in ("step 7", "loss 1.500", "lr 2.0e-03", "val AP@.5 0.810", "3:00 left"):
        assert part in said


def test_a_terminal_gets_a_bar():
    assert "training" in run(terminal=True)
