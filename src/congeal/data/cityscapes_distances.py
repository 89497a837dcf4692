"""How far the objects of Cityscapes are, by the disparity of their pixels and the stereo camera.

A pixel of ``disparity/SPLIT/CITY/NAME_disparity.png`` holds 0 where nothing was measured, else
p = 256 d + 1 for a disparity of d pixels between the two views. What shifts by d pixels is
baseline * fx / d metres away; ``camera/SPLIT/CITY/NAME_camera.json`` has both numbers. The formats
are those of the dataset's README (https://github.com/mcordts/cityscapesScripts).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from congeal.data.images import read_image
from congeal.data.sample import LabelMap
from congeal.errors import CongealError

__all__ = ["distance_files", "distances_by_id", "read_metres"]

Metres = NDArray[np.float64]

_ENDINGS = {"disparity": "png", "camera": "json"}
_FIRST_THING = 24
_MOST = 1e6  # baselines in metres and focal lengths in pixels are below


def distance_files(home: Path, image: Path, name: str) -> tuple[Path, Path]:
    """Find the disparity and the camera of an image.

    Args:
        home: the folder with ``leftImg8bit``, ``disparity`` and ``camera``.
        image: the file of the image, below ``home``.
        name: what the names of the files begin with.

    Raises:
        CongealError: a folder or a file is not there.

    Example:
        >>> import tempfile
        >>> home = Path(tempfile.mkdtemp())
        >>> for kind, ending in (("disparity", "png"), ("camera", "json")):
        ...     (home / kind / "val" / "ulm").mkdir(parents=True)
        ...     (home / kind / "val" / "ulm" / f"a_{kind}.{ending}").touch()
        >>> image = home / "leftImg8bit" / "val" / "ulm" / "a_leftImg8bit.png"
        >>> [path.name for path in distance_files(home, image, "a")]
        ['a_disparity.png', 'a_camera.json']
    """
    lost = [kind for kind in _ENDINGS if not (home / kind).is_dir()]
    if lost:
        raise CongealError(
            "expected the folders disparity and camera beside leftImg8bit in "
            f"{home}, found no {' and no '.join(lost)}"
        )
    disparity, camera = (_file(home, kind, image, name) for kind in _ENDINGS)
    return disparity, camera


def _file(home: Path, kind: str, image: Path, name: str) -> Path:
    city = image.parent.relative_to(home / "leftImg8bit")
    path = home / kind / city / f"{name}_{kind}.{_ENDINGS[kind]}"
    if not path.is_file():
        raise CongealError(f"expected the {kind} of {name} at {path}, found none")
    return path


def read_metres(disparity: Path, camera: Path) -> Metres:
    """Read how far every pixel is, `(H, W)` in metres, NaN where that was not measured.

    A disparity of 0, infinitely far, is no measurement either.

    Raises:
        CongealError: a file cannot be read, the disparities are not 16 bit in one channel, or
            baseline and focal length are no numbers above 0.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> camera = '{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 2000}}'
        >>> _ = (folder / "camera.json").write_text(camera)
        >>> stored = np.array([[0, 1, 10 * 256 + 1]], np.uint16)
        >>> Image.fromarray(stored).save(folder / "disparity.png")
        >>> read_metres(folder / "disparity.png", folder / "camera.json").tolist()
        [[nan, nan, 40.0]]
    """
    stored = read_image(disparity)
    if stored.dtype != np.uint16 or stored.shape[2] != 1:
        raise CongealError(
            f"expected disparities of 16 bit in one channel, {disparity} has {stored.dtype} in "
            f"{stored.shape[2]}"
        )
    shift = (stored[..., 0].astype(np.float64) - 1) / 256
    return _one_pixel_away(camera) / np.where(shift > 0, shift, np.nan)


def _one_pixel_away(path: Path) -> float:
    """The distance in metres at which the disparity is one pixel: baseline * fx."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        baseline, focal = content["extrinsic"]["baseline"], content["intrinsic"]["fx"]
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, LookupError) as error:
        reason = " ".join(str(error).split())[:80]
        raise CongealError(
            f"expected extrinsic.baseline and intrinsic.fx in JSON, {path} is damaged ({reason})"
        ) from error
    metres = _above_zero(baseline, "extrinsic.baseline", path)
    return metres * _above_zero(focal, "intrinsic.fx", path)


def _above_zero(value: object, what: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MOST:
        raise CongealError(f"expected a number above 0 as {what}, {path} has {value!r:.40}")
    return float(value)


def distances_by_id(ids: LabelMap, metres: Metres) -> dict[int, tuple[float, float]]:
    """Tell how far objects and groups are, and on what share of their pixels that was measured.

    Args:
        ids: numbers as in the official files, `(H, W)`: 24000 up for objects, 24 to 33 for groups;
            the rest is left out.
        metres: distance of each pixel, `(H, W)`, NaN where it was not measured.

    Returns:
        By number the median over the measured pixels, and their share, above 0 and up to 1. What
        is measured nowhere is left out.

    Example:
        >>> ids = np.array([[26000, 26000, 26000, 26000, 26, 7]])
        >>> distances_by_id(ids, np.array([[20.0, 40.0, 90.0, np.nan, np.nan, 5.0]]))
        {26000: (40.0, 0.75)}
    """
    things = ids >= _FIRST_THING
    order = np.argsort(ids[things], kind="stable")
    numbers, starts = np.unique(ids[things][order], return_index=True)
    parts = np.split(metres[things][order], starts)[1:]  # nothing lies before the first start
    measured = [part[~np.isnan(part)] for part in parts]
    return {
        number: (float(np.median(known)), len(known) / len(part))
        for number, known, part in zip(numbers.tolist(), measured, parts, strict=True)
        if len(known)
    }
