"""Segmentation results, their measurements, and their file formats."""

from congeal.segmentation.coco import coco_document
from congeal.segmentation.formats import FORMATS, find_output
from congeal.segmentation.measure import COLUMNS
from congeal.segmentation.objects import Crop
from congeal.segmentation.planes import PlaneStitcher, stitch_planes
from congeal.segmentation.result import Segmentation
from congeal.segmentation.scale import Scale
from congeal.segmentation.segmenter import Segmenter
from congeal.segmentation.volume import VOLUME_COLUMNS, Volume, VoxelSize

__all__ = [
    "COLUMNS",
    "FORMATS",
    "VOLUME_COLUMNS",
    "Crop",
    "PlaneStitcher",
    "Scale",
    "Segmentation",
    "Segmenter",
    "Volume",
    "VoxelSize",
    "coco_document",
    "find_output",
    "stitch_planes",
]
