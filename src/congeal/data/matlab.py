"""Reading the MATLAB files in which some datasets keep their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.matlab_tags import check_tags
from congeal.data.sample import LabelMap
from congeal.errors import CongealError

__all__ = ["read_mat", "whole_numbers"]


def read_mat(path: Path, name: str) -> Any:
    """Read one variable of a MATLAB file (versions 4 to 7).

    Structs of one element become records whose fields are attributes, cells become arrays.

    Raises:
        CongealError: the file is missing, damaged, of version 7.3, or lacks the variable.

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
        if error.strerror is None:  # not the system but the parser
            raise _damaged(path, error) from error
        raise CongealError(f"cannot read {path}: {error.strerror}") from error
    except NotImplementedError as error:
        raise CongealError(f"cannot read {path}: save it as MATLAB 7, not 7.3") from error
    # A damaged file shows itself wherever the parser happens to trip.
    except Exception as error:
        raise _damaged(path, error) from error
    if name not in content:
        raise CongealError(f"expected the variable {name} in {path}, found none")
    return content[name]


def _damaged(path: Path, error: Exception) -> CongealError:
    reason = " ".join(str(error).split())[:80] or type(error).__name__
    return CongealError(f"cannot read {path}: the file is truncated or damaged ({reason})")


def whole_numbers(record: Any, field: str, path: Path) -> LabelMap:
    """Give a field of a record as a map `(H, W)` int64.

    Raises:
        CongealError: the record has no such field, or it is no map of whole numbers.

    Example:
        >>> whole_numbers(object(), "Segmentation", Path("a.mat"))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a field Segmentation in a.mat, found none
    """
    values = getattr(record, field, None)
    if values is None:
        raise CongealError(f"expected a field {field} in {path}, found none")
    values = np.asarray(values)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not _are_whole(values):
        what = f"{values.dtype} of {values.ndim} dimensions"
        raise CongealError(f"expected a map of whole numbers as {field} in {path}, got {what}")
    return values.astype(np.int64)


def _are_whole(values: Any) -> bool:
    """Whether all are whole and small enough for int64; NaN and infinity are not."""
    if values.dtype.kind in "bi":
        return True
    return bool((np.floor(values) == values).all() and (np.abs(values) < 2.0**62).all())
