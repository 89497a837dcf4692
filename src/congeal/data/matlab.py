"""Reading of MATLAB files, in which some datasets store their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.matlab_tags import check_tags
from congeal.data.sample import LabelMap
from congeal.errors import CongealError

__all__ = ["integer_map", "read_mat"]


def read_mat(path: Path, name: str) -> Any:
    """Read one variable of a MATLAB file (versions 4 to 7).

    Structs with one element become records with fields as attributes, cells become arrays.

    Raises:
        CongealError: the file is missing, damaged, in version 7.3, or lacks the variable.

    Example:
        >>> import tempfile
        >>> from scipy.io import savemat
        >>> path = Path(tempfile.mkdtemp()) / "a.mat"
        >>> savemat(path, {"GTcls": {"Segmentation": np.eye(2)}})
        >>> read_mat(path, "GTcls").Segmentation.shape
        (2, 2)
    """
    from scipy.io import loadmat

    try:
        check_tags(path.read_bytes())
        content = loadmat(path, variable_names=[name], struct_as_record=False, squeeze_me=True)
    except CongealError as error:
        raise CongealError(f"{error} ({path})") from error
    except OSError as error:
        if error.strerror is None:  # raised by the parser, not by the operating system
            raise _damaged(path, error) from error
        raise CongealError(f"cannot read {path}: {error.strerror}") from error
    except NotImplementedError as error:
        raise CongealError(f"cannot read {path}: save it as MATLAB 7, not 7.3") from error
    # SciPy's parser may raise any exception for a damaged file.
    except Exception as error:
        raise _damaged(path, error) from error
    if name not in content:
        raise CongealError(f"expected the variable {name} in {path}, found none")
    return content[name]


def _damaged(path: Path, error: Exception) -> CongealError:
    reason = " ".join(str(error).split())[:80] or type(error).__name__
    return CongealError(f"cannot read {path}: the file is truncated or damaged ({reason})")


def integer_map(record: Any, field: str, path: Path) -> LabelMap:
    """Return a field of a record as an int64 map `(H, W)`.

    Raises:
        CongealError: the field is missing, or is not a map of integers.

    Example:
        >>> integer_map(object(), "Segmentation", Path("a.mat"))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a field Segmentation in a.mat, found none
    """
    values = getattr(record, field, None)
    if values is None:
        raise CongealError(f"expected a field {field} in {path}, found none")
    values = np.asarray(values)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not _are_integers(values):
        got = f"{values.dtype} with {values.ndim} dimensions"
        raise CongealError(f"expected a map of integers as {field} in {path}, got {got}")
    return values.astype(np.int64)


def _are_integers(values: Any) -> bool:
    """Whether all values are integers within the range of int64."""
    if values.dtype.kind in "bi":
        return True
    return bool((np.floor(values) == values).all() and (np.abs(values) < 2.0**62).all())
