"""``congeal train``: images and masks to a model folder."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from congeal.cli.group import Stopped
from congeal.cli.options import Json, parse_channels, parse_settings
from congeal.cli.terminal import count, make_progress, say, say_note, show_json
from congeal.errors import CongealError
from congeal.progress import minutes

if TYPE_CHECKING:
    from congeal.training import Outcome, Plan

__all__ = ["default_folder", "train"]


Data = Annotated[
    str,
    typer.Argument(
        help="Folder of images/ and masks/, COCO JSON, or a dataset by name.", metavar="DATA"
    ),
]
Method = Annotated[
    str | None, typer.Option(help="Method by name; congeal methods lists them.", metavar="NAME")
]
Task = Annotated[
    str | None, typer.Option(help="instances, semantic, boundaries or proposals.", metavar="NAME")
]
Folder = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder of the model.", metavar="FOLDER")
]
Val = Annotated[str | None, typer.Option(help="Validation images, if not of DATA.", metavar="DATA")]
Minutes = Annotated[
    float | None, typer.Option(help="Length in minutes (default: 20).", metavar="N")
]
Epochs = Annotated[int | None, typer.Option(help="Length in rounds of the images.", metavar="N")]
BatchSize = Annotated[
    int | None, typer.Option(help="Crops in a batch (default: by the time).", metavar="N")
]
Crop = Annotated[
    int | None, typer.Option(help="Side of crops (default: by images, time).", metavar="PX")
]
Seed = Annotated[int | None, typer.Option(help="Of weights, order and augmentation.", metavar="N")]
Channels = Annotated[
    str | None, typer.Option(help="Of the images, such as 0,2 (default: all).", metavar="LIST")
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
Precision = Annotated[  # hidden, as --half: the help fits on a screen; they are settings
    str | None,
    typer.Option(help="auto, 32, bf16-mixed or 16-mixed.", metavar="NAME", hidden=True),
]
Start = Annotated[
    str | None,
    typer.Option(help="Model to begin with (default: the method's).", metavar="MODEL"),
]
FromScratch = Annotated[bool, typer.Option("--from-scratch", help="Begin with fresh weights.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the output folder.")]
Preset = Annotated[
    str | None,
    typer.Option(help="Settings by name; congeal methods NAME lists them.", metavar="NAME"),
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
        help="The same, by boundary maps (or a model).",
        metavar="FOLDER",
    ),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print the settings as YAML; train nothing.")
]
Half = Annotated[bool, typer.Option("--half", help="Store weights in half precision.", hidden=True)]
What = Annotated[  # hidden, as --licence: the help fits on a screen
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

    Settings follow from the images unless given. Ctrl-C stops early and leaves a usable model.
    All settings of a method: congeal methods NAME.
    """
    born = time.monotonic()  # the minutes count from here, imports included
    named = _training_settings(
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
    if channels is not None:
        named["input.channels"] = parse_channels(channels)
    if pixel_size is not None:
        named["input.pixel_size"] = pixel_size
    named |= _unlabelled(unsupervised, contours)
    chosen: dict[str, Any] = {**_read_config(config), **named, **parse_settings(settings)}
    written = {name: chosen.pop(name, None) for name in ("method", "task", "start")}
    method, task = method or written["method"], task or written["task"]
    begin = _start(start or written["start"], from_scratch)
    wish = {"settings": chosen, "val": val, "task": task, "preset": preset, "start": begin}
    if print_config:
        _print_config(method, data, wish)
        return
    _launch_if_several(chosen)
    about = {"what": what, "licence": licence, "born": born}
    _run_and_tell(method, data, output or default_folder(data), resume, wish, about, as_json)


def _run_and_tell(
    method: str | None,
    data: str,
    folder: Path,
    resume: bool,
    wish: dict[str, Any],
    about: dict[str, Any],
    as_json: bool,
) -> None:
    with _quiet_beside_the_first():
        outcome = _run(method, data, folder, resume, wish, about)
        _stop_if_stopped(outcome)
        _tell(folder, data, as_json, outcome.advice)


def _training_settings(**given: Any) -> dict[str, Any]:
    """The settings that an option gave, by path."""
    return {f"training.{name}": value for name, value in given.items() if value is not None}


def _unlabelled(unsupervised: bool, contours: str | Path | None) -> dict[str, Any]:
    """Settings of a training from images alone."""
    asked = {"unsupervised": unsupervised or bool(contours) or None, "contours": contours}
    return {name: value for name, value in asked.items() if value is not None}


def _launch_if_several(settings: dict[str, Any]) -> None:
    """Run this command in as many processes as are wanted, unless this is one of them."""
    from congeal.processes import are_launched
    from congeal.training.launch import check_devices, devices_wanted, launch
    from congeal.training.together import training_settings

    count = devices_wanted(settings)
    if count > 1 and not are_launched():
        check_devices(count, str(training_settings(settings, "device").get("device", "auto")))
        raise typer.Exit(launch(sys.argv[1:], count))


@contextlib.contextmanager
def _quiet_beside_the_first() -> Iterator[None]:
    """Let the first of several processes speak for all; what fails is told by each.

    Where all were launched together, a process that misses another one leaves the telling to the
    launcher.
    """
    from congeal.processes import rank
    from congeal.training.failures import LostProcess
    from congeal.training.launch import LAUNCHED, LOST

    try:
        with contextlib.ExitStack() as stack:
            if rank():
                nowhere = stack.enter_context(Path(os.devnull).open("w"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
                stack.enter_context(contextlib.redirect_stderr(nowhere))
            yield
    except LostProcess as error:
        if LAUNCHED in os.environ:
            raise typer.Exit(LOST) from error
        raise
    except Stopped as stop:
        if rank():
            raise typer.Exit(stop.code) from stop
        raise


def _start(start: str | None, from_scratch: bool) -> str | None:
    """Which model to begin with; None: with none.

    Raises:
        CongealError: both were asked for.
    """
    if start and from_scratch:
        raise CongealError(f"expected --start or --from-scratch, got both (--start {start})")
    with make_progress() as progress:
        progress.add_task("starting", total=None)  # importing torch takes a while
        from congeal.training.plan import SCRATCH
        from congeal.training.start import AUTO
    return None if from_scratch or start == SCRATCH else start or AUTO


def _run(
    method: str | None,
    data: str,
    folder: Path,
    resume: bool,
    wish: dict[str, Any],
    about: dict[str, Any],
) -> Outcome:
    with make_progress() as progress:
        progress.add_task(f"reading {data}", total=None)
        from congeal.training import run_training

        def tell_plan(plan: Plan) -> None:
            progress.stop()  # training shows its own
            _tell_plan(plan)

        def tell_line(line: str) -> None:
            progress.stop()
            say_note(line)

        return run_training(
            method,
            data,
            output=folder,
            resume=resume,
            on_plan=tell_plan,
            on_note=_note,
            on_line=tell_line,
            **wish,
            **about,
        )


def default_folder(data: str) -> Path:
    """Name the folder of a model after its data."""
    path = Path(data)
    name = path.stem if path.suffix == ".json" else path.resolve().name
    return Path("runs") / re.sub(r"[^\w.]+", "-", name)


def _read_config(path: Path | None) -> dict[str, Any]:
    """Settings of a YAML file, by section.

    Raises:
        CongealError: the file cannot be read, or is no table of settings.
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


def _print_config(method: str | None, data: str, wish: dict[str, Any]) -> None:
    import yaml

    from congeal.training.channels import channels_wanted
    from congeal.training.loop import open_data, plan_for

    training, _ = open_data(data, wish["val"], channels_wanted(wish["settings"]))
    plan = plan_for(
        method,
        training,
        wish["settings"],
        task=wish["task"],
        preset=wish["preset"],
        start=wish["start"],
    )
    say(yaml.safe_dump(plan.document(), sort_keys=False, allow_unicode=True).rstrip())


def _note(line: str) -> None:
    say_note(f"note: {line}")


def _tell_plan(plan: Plan) -> None:
    c = plan.training
    length = count(c.epochs, "epoch") if c.epochs else minutes(c.max_minutes or 0)
    say_note(f"{plan.method.title}, {plan.config.task}, {length}; --print-config shows settings")


def _stop_if_stopped(outcome: Outcome) -> None:
    """End with 130 after Ctrl-C, with 128 + the signal's number after another one."""
    if outcome.signal is not None:
        line = f"stopped: {outcome.folder} holds the model so far; --resume goes on"
        raise Stopped(line, code=128 + int(signal.Signals(outcome.signal)))


def _tell(folder: Path, data: str, as_json: bool, advice: tuple[str, ...]) -> None:
    from congeal.models.config import read_config

    config = read_config(folder)
    if as_json:
        facts = {"metrics": config.metrics, "training": config.training}
        told = {"advice": list(advice)} if advice else {}
        show_json({"model": str(folder), **facts, "settings": config.settings, **told})
        return
    say(f"model: {folder}")
    for name, value in config.metrics.items():
        say(f"  {name} {value:.3f}")
    say(f"next: congeal evaluate {folder} {data}, congeal segment {folder} IMAGES")
    if advice:
        say_note("the score is near zero; what is likely wrong:")
    for line in advice:
        say_note(f"  {line}")
