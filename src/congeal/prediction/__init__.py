"""Segmenting one image, or all images of files, folders and patterns.

Example:
    >>> from congeal.prediction import SegmentRun
    >>> SegmentRun("out").failed
    []
"""

from congeal.prediction.batch import input_files, segment_files
from congeal.prediction.outcome import FileOutcome, SegmentRun
from congeal.prediction.single import Model, segment
from congeal.prediction.volume import segment_volume

__all__ = [
    "FileOutcome",
    "Model",
    "SegmentRun",
    "input_files",
    "segment",
    "segment_files",
    "segment_volume",
]
