"""``congeal train``: from images and masks to a model folder."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from congeal.cli.group import Stopped
from congeal.cli.options import Data, Json, parse_channels, parse_settings
from congeal.cli.terminal import count, make_progress, say, say_note, say_warning, show_json
from congeal.clock import now
from congeal.errors import CongealError
from congeal.progress import minutes

if TYPE_CHECKING:
    from congeal.training import Outcome, Plan

__all__ = ["default_folder", "train"]


Method = Annotated[
    str | None, typer.Option(help="Name of the method; see congeal methods.", metavar="NAME")
]
Task = Annotated[
    str | None, typer.Option(help="instances, semantic, boundaries or proposals.", metavar="NAME")
]
Folder = Annotated[
    Path | None, typer.Option("--output", "-o", help="Model folder to write.", metavar="FOLDER")
]
Val = Annotated[
    str | None, typer.Option(help="Validation images (default: of DATA).", metavar="DATA")
]
Minutes = Annotated[
    float | None, typer.Option(help="Length in minutes (default: 20).", metavar="N")
]
Epochs = Annotated[int | None, typer.Option(help="Length in epochs.", metavar="N")]
BatchSize = Annotated[
    int | None, typer.Option(help="Crops per batch (default: by speed).", metavar="N")
]
Crop = Annotated[
    int | None, typer.Option(help="Side of crops (default: by images, speed).", metavar="PX")
]
Seed = Annotated[int | None, typer.Option(help="Random seed.", metavar="N")]
Channels = Annotated[
    str | None, typer.Option(help="Image channels, as 0,2 (default: all).", metavar="LIST")
]
PixelSize = Annotated[
    float | None,
    typer.Option(help="Of the images, in micrometres (default: the files').", metavar="UM"),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", metavar="NAME")]
Devices = Annotated[
    int | None, typer.Option(help="GPUs, or processes, on each machine.", metavar="N")
]
Nodes = Annotated[int | None, typer.Option(help="Machines (started by torchrun).", metavar="N")]
# Hidden options are settings or facts for the card; without them the help fits on a screen.
Precision = Annotated[
    str | None,
    typer.Option(help="auto, 32, bf16-mixed or 16-mixed.", metavar="NAME", hidden=True),
]
Start = Annotated[
    str | None,
    typer.Option(help="Start model (default: the method's).", metavar="MODEL"),
]
FromScratch = Annotated[bool, typer.Option("--from-scratch", help="Train without a start model.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the training in the folder.")]
Preset = Annotated[
    str | None,
    typer.Option(help="fast or paper; see congeal methods NAME.", metavar="NAME"),
]
Config = Annotated[Path | None, typer.Option(help="YAML file of settings.", metavar="FILE")]
SetAny = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting, such as loss.margin=0.4.", metavar="NAME=VALUE"),
]
Unsupervised = Annotated[bool, typer.Option("--unsupervised", help="Learn without masks.")]
Contours = Annotated[
    str | None,
    typer.Option(
        "--contours",
        help="The same, with boundary maps (or a model).",
        metavar="FOLDER",
    ),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print the settings as YAML; train nothing.")
]
Half = Annotated[bool, typer.Option("--half", help="Store weights in half precision.", hidden=True)]
What = Annotated[
    str, typer.Option(help="Purpose of the model, for its card.", metavar="TEXT", hidden=True)
]
Licence = Annotated[
    str, typer.Option(help="Licence of the weights, for the card.", metavar="TEXT", hidden=True)
]


def train(
    data: Data,
    *,
    method: Method = None,
    task: Task = None,
    output: Folder = None,
    val: Val = None,
    max_minutes: Minutes = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    crop: Crop = None,
    channels: Channels = None,
    pixel_size: PixelSize = None,
    seed: Seed = None,
    device: Device = None,
    devices: Devices = None,
    nodes: Nodes = None,
    precision: Precision = None,
    start: Start = None,
    from_scratch: FromScratch = False,
    resume: Resume = False,
    preset: Preset = None,
    config: Config = None,
    settings: SetAny = None,
    unsupervised: Unsupervised = False,
    contours: Contours = None,
    print_config: PrintConfig = False,
    half: Half = False,
    what: What = "",
    licence: Licence = "",
    as_json: Json = False,
) -> None:
    """Train a model on images and masks.

    Settings are derived from the images unless given. Ctrl-C stops early and saves a usable model.
    All settings of a method: congeal methods NAME.
    """
    start_time = now()  # imports of PyTorch count towards the minutes
    options = _training_settings(
        max_minutes=max_minutes,
        epochs=epochs,
        batch_size=batch_size,
        crop=crop,
        seed=seed,
        device=device,
        devices=devices,
        nodes=nodes,
        precision=precision,
        half=half or None,
    )
    shown = {"channels": parse_channels(channels), "pixel_size": pixel_size}
    options |= {f"input.{name}": value for name, value in shown.items() if value is not None}
    options |= _unlabelled(unsupervised, contours)
    given: dict[str, Any] = {**_read_config(config), **options, **parse_settings(settings)}
    in_config = {name: given.pop(name, None) for name in ("method", "task", "start")}
    method, task = method or in_config["method"], task or in_config["task"]
    start_model = _start(start or in_config["start"], from_scratch)
    request = {"settings": given, "val": val, "task": task, "preset": preset, "start": start_model}
    if print_config:
        _print_config(method, data, request)
        return
    _launch_if_several(given)
    about = {"what": what, "licence": licence, "start_time": start_time}
    _run_and_print(method, data, output or default_folder(data), resume, request, about, as_json)


def _run_and_print(
    method: str | None,
    data: str,
    folder: Path,
    resume: bool,
    request: dict[str, Any],
    about: dict[str, Any],
    as_json: bool,
) -> None:
    with _only_first_prints():
        outcome = _run(method, data, folder, resume, request, about)
        _stop_if_stopped(outcome)
        _print_result(folder, data, as_json, outcome.advice)


def _training_settings(**options: Any) -> dict[str, Any]:
    """Training settings by path, from the options that were given."""
    return {f"training.{name}": value for name, value in options.items() if value is not None}


def _unlabelled(unsupervised: bool, contours: str | Path | None) -> dict[str, Any]:
    """Settings of a training on images without masks."""
    options = {"unsupervised": unsupervised or bool(contours) or None, "contours": contours}
    return {name: value for name, value in options.items() if value is not None}


def _launch_if_several(settings: dict[str, Any]) -> None:
    """Run this command in several processes if the settings say so and it is not one of them."""
    from congeal.processes import are_launched
    from congeal.training.launch import check_devices, devices_wanted, launch
    from congeal.training.together import training_settings

    count = devices_wanted(settings)
    if count > 1 and not are_launched():
        check_devices(count, str(training_settings(settings, "device").get("device", "auto")))
        raise typer.Exit(launch(sys.argv[1:], count))


@contextlib.contextmanager
def _only_first_prints() -> Iterator[None]:
    """Suppress the output of all processes but the first; errors are printed by each process.

    A process that lost another one exits silently if there is a launcher, which prints the cause.
    """
    from congeal.processes import rank
    from congeal.training.failures import LostProcessError
    from congeal.training.launch import LAUNCHED, LOST

    try:
        with contextlib.ExitStack() as stack:
            if rank():
                null = stack.enter_context(Path(os.devnull).open("w"))
                stack.enter_context(contextlib.redirect_stdout(null))
                stack.enter_context(contextlib.redirect_stderr(null))
            yield
    except LostProcessError as error:
        if LAUNCHED in os.environ:
            raise typer.Exit(LOST) from error
        raise
    except Stopped as stop:
        if rank():
            raise typer.Exit(stop.code) from stop
        raise


def _start(start: str | None, from_scratch: bool) -> str | None:
    """The start model; None: train from scratch.

    Raises:
        CongealError: both options were given.
    """
    if start and from_scratch:
        raise CongealError(f"expected --start or --from-scratch, got both (--start {start})")
    with make_progress() as progress:
        progress.add_task("starting", total=None)  # importing PyTorch takes seconds
        from congeal.training.plan import SCRATCH
        from congeal.training.start import AUTO
    return None if from_scratch or start == SCRATCH else start or AUTO


def _run(
    method: str | None,
    data: str,
    folder: Path,
    resume: bool,
    request: dict[str, Any],
    about: dict[str, Any],
) -> Outcome:
    with make_progress() as progress:
        progress.add_task(f"reading {data}", total=None)
        from congeal.training import run_training

        def show_plan(plan: Plan) -> None:
            progress.stop()  # the training has its own progress display
            _print_plan(plan)

        def show_line(line: str) -> None:
            progress.stop()
            say_note(line)

        return run_training(
            method,
            data,
            output=folder,
            resume=resume,
            on_plan=show_plan,
            on_note=say_warning,
            on_line=show_line,
            **request,
            **about,
        )


def default_folder(data: str) -> Path:
    """Default model folder: ``runs/`` and the name of the data.

    Args:
        data: training data as given on the command line.
    """
    path = Path(data)
    name = path.stem if path.suffix == ".json" else path.resolve().name
    return Path("runs") / re.sub(r"[^\w.]+", "-", name)


def _read_config(path: Path | None) -> dict[str, Any]:
    """Settings of a YAML file, by section; none without a file.

    Raises:
        CongealError: the file cannot be read, or has no settings by name.
    """
    if path is None:
        return {}
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())[:80]
        raise CongealError(f"expected YAML in {path}, got: {line}") from error
    if not isinstance(content, dict):
        raise CongealError(f"expected settings by name in {path}, got {str(content)[:40]!r}")
    return {str(name): value for name, value in content.items()}


def _print_config(method: str | None, data: str, request: dict[str, Any]) -> None:
    import yaml

    from congeal.training.channels import channels_wanted
    from congeal.training.datasets import open_data
    from congeal.training.loop import plan_for

    training, _ = open_data(data, request["val"], channels_wanted(request["settings"]))
    plan = plan_for(
        method,
        training,
        request["settings"],
        task=request["task"],
        preset=request["preset"],
        start=request["start"],
    )
    say(yaml.safe_dump(plan.document(), sort_keys=False, allow_unicode=True).rstrip())


def _print_plan(plan: Plan) -> None:
    c = plan.training
    length = count(c.epochs, "epoch") if c.epochs else minutes(c.max_minutes or 0)
    say_note(f"{plan.method.title}, {plan.config.task}, {length}; --print-config shows settings")


def _stop_if_stopped(outcome: Outcome) -> None:
    """Exit with 128 + number of the signal that stopped the training: 130 after Ctrl-C."""
    if outcome.signal is not None:
        line = f"stopped: {outcome.folder} holds the model so far; --resume continues"
        raise Stopped(line, code=128 + int(signal.Signals(outcome.signal)))


def _print_result(folder: Path, data: str, as_json: bool, advice: tuple[str, ...]) -> None:
    from congeal.models.config import read_config

    config = read_config(folder)
    if as_json:
        facts = {"metrics": config.metrics, "training": config.training}
        diagnosis = {"advice": list(advice)} if advice else {}
        show_json({"model": str(folder), **facts, "settings": config.settings, **diagnosis})
        return
    say(f"model: {folder}")
    for name, value in config.metrics.items():
        say(f"  {name} {value:.3f}")
    say(f"next: congeal evaluate {folder} {data}, congeal segment {folder} IMAGES")
    if advice:
        say_note("the score is near zero; likely causes:")
    for line in advice:
        say_note(f"  {line}")
