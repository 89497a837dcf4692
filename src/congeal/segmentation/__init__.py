"""The result of segmenting an image, and the files it can be written to."""

from congeal.segmentation.coco import coco_document
from congeal.segmentation.formats import FORMATS, find_output
from congeal.segmentation.measure import COLUMNS
from congeal.segmentation.objects import Crop
from congeal.segmentation.result import Segmentation
from congeal.segmentation.segmenter import Segmenter

__all__ = [
    "COLUMNS",
    "FORMATS",
    "Crop",
    "Segmentation",
    "Segmenter",
    "coco_document",
    "find_output",
]
