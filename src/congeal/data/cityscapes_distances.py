"""Distances of Cityscapes objects from the camera, computed from stereo disparities.

A pixel of ``disparity/SPLIT/CITY/NAME_disparity.png`` is p = 256 d + 1 for a disparity of d pixels,
0 without measurement. The distance is baseline * fx / d in metres; both constants are in
``camera/SPLIT/CITY/NAME_camera.json``. The formats are those of the dataset's README
(https://github.com/mcordts/cityscapesScripts).
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
_FIRST_INSTANCE_LABEL = 24
_MAX_VALUE = 1e6  # upper bound of valid baselines (m) and focal lengths (px)


def distance_files(home: Path, image: Path, name: str) -> tuple[Path, Path]:
    """Find the disparity and camera files of an image.

    Args:
        home: the folder with ``leftImg8bit``, ``disparity`` and ``camera``.
        image: the image file, below ``home``.
        name: common prefix of the file names.

    Raises:
        CongealError: a folder or a file is missing.

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
    missing = [kind for kind in _ENDINGS if not (home / kind).is_dir()]
    if missing:
        raise CongealError(
            "expected the folders disparity and camera beside leftImg8bit in "
            f"{home}, found no {' and no '.join(missing)}"
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
    """Read the distance of every pixel, `(H, W)` in metres, NaN without measurement.

    A disparity of 0 (infinite distance) counts as not measured.

    Raises:
        CongealError: a file cannot be read, the disparities are not 16 bit in one channel, or
            baseline or focal length is not a positive number.

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
            f"expected disparities of 16 bit in one channel, {disparity} has {stored.shape[2]} of "
            f"{stored.dtype}"
        )
    shift = (stored[..., 0].astype(np.float64) - 1) / 256
    return _unit_disparity_distance(camera) / np.where(shift > 0, shift, np.nan)


def _unit_disparity_distance(path: Path) -> float:
    """Distance in metres at a disparity of one pixel: baseline * fx."""
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
    metres = _positive(baseline, "extrinsic.baseline", path)
    return metres * _positive(focal, "intrinsic.fx", path)


def _positive(value: object, what: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MAX_VALUE:
        raise CongealError(f"expected a number above 0 as {what}, {path} has {value!r:.40}")
    return float(value)


def distances_by_id(ids: LabelMap, metres: Metres) -> dict[int, tuple[float, float]]:
    """Median distance of objects and groups, with the fraction of measured pixels.

    Args:
        ids: ids as in the official files, `(H, W)`: from 24000 for objects, 24 to 33 for groups;
            others are ignored.
        metres: distance of each pixel, `(H, W)`, NaN without measurement.

    Returns:
        By id the median over the measured pixels in metres, and their fraction in (0, 1]. Objects
        without any measured pixel are omitted.

    Example:
        >>> ids = np.array([[26000, 26000, 26000, 26000, 26, 7]])
        >>> distances_by_id(ids, np.array([[20.0, 40.0, 90.0, np.nan, np.nan, 5.0]]))
        {26000: (40.0, 0.75)}
    """
    things = ids >= _FIRST_INSTANCE_LABEL
    order = np.argsort(ids[things], kind="stable")
    numbers, starts = np.unique(ids[things][order], return_index=True)
    parts = np.split(metres[things][order], starts)[1:]  # the part before the first start is empty
    measured = [part[~np.isnan(part)] for part in parts]
    return {
        number: (float(np.median(valid)), len(valid) / len(part))
        for number, valid, part in zip(numbers.tolist(), measured, parts, strict=True)
        if len(valid)
    }
