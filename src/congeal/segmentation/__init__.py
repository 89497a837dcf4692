"""The result of segmenting an image, and the files it can be written to."""

from congeal.segmentation.result import Segmentation

__all__ = ["Segmentation"]
