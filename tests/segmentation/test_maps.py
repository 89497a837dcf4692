"""Maps of classes and boundaries: held, drawn, written and read back."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from skimage import io

from congeal.data.matlab import read_mat
from congeal.errors import CongealError
from congeal.metrics.bsds_regions import segments_from_contours
from congeal.segmentation import Segmentation, find_output

SHAPE = (6, 9)
SHARES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    elements=st.floats(0, 1, width=32),
)


@pytest.fixture
def semantic():
    return np.arange(54).reshape(SHAPE) % 4


@pytest.fixture
def boundary():
    return np.random.default_rng(0).random(SHAPE, np.float32)


def test_a_result_keeps_its_maps_after_a_selection_of_objects(semantic, boundary):
    labels = np.zeros(SHAPE, int)
    labels[:2], labels[4:] = 1, 2
    result = Segmentation.from_labels(
        labels, classes=[1, 3], class_names=["a", "b", "c"], semantic=semantic, boundary=boundary
    )
    for one in (result, result.select([1]), result.select([])):
        assert np.array_equal(one.semantic, semantic)
        assert one.semantic.dtype == np.int64
        assert np.array_equal(one.boundary, boundary)
        assert one.boundary.dtype == np.float32
        assert one.probabilities is None
        assert one.has_objects
    assert repr(result) == "Segmentation(6 x 9, 2 objects, semantic, boundary)"


def test_masks_that_overlap_have_maps_as_well(semantic):
    result = Segmentation.from_masks(np.ones((2, *SHAPE), bool), semantic=semantic)
    assert not result.disjoint
    assert np.array_equal(result.select([0]).semantic, semantic)


def test_a_result_of_maps_alone_has_their_size_and_no_objects(boundary):
    result = Segmentation.from_maps(boundary=boundary)
    assert (len(result), result.shape, result.has_objects) == (0, SHAPE, False)
    assert repr(result) == "Segmentation(6 x 9, boundary)"
    assert result.select([]).has_objects is False


def test_nothing_found_is_not_the_same_as_nothing_looked_for():
    assert Segmentation.from_labels(np.zeros(SHAPE, int)).has_objects


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_most_probable_class_is_the_class_of_a_pixel(kind):
    odds = np.random.default_rng(1).dirichlet(np.ones(4), SHAPE).transpose(2, 0, 1).astype(kind)
    result = Segmentation.from_maps(probabilities=odds)
    assert np.array_equal(result.semantic, odds.argmax(0))
    assert result.probabilities.dtype == (np.float16 if kind == np.float16 else np.float32)
    assert len(result.class_names) == 3  # the background has no name of its own


def test_classes_of_the_map_are_named_like_those_of_objects(semantic):
    names = ("road", "sky", "tree")
    assert Segmentation.from_maps(semantic, class_names=names).class_names == names
    assert Segmentation.from_maps(semantic).class_names == ("class 1", "class 2", "class 3")
    with pytest.raises(CongealError, match="expected 3 class names, got 2"):
        Segmentation.from_maps(semantic, class_names=names[:2])


def test_changing_what_was_given_does_not_change_the_maps(semantic, boundary):
    result = Segmentation.from_maps(semantic, boundary=boundary)
    first = int(semantic[0, 1])
    semantic[:], boundary[:] = 0, 0
    assert result.semantic[0, 1] == first
    assert result.boundary.any()


@pytest.mark.parametrize(
    ("maps", "told"),
    [
        ({}, "a semantic map, probabilities or a boundary map, got none"),
        ({"semantic": np.zeros((2, 2))}, "integer"),
        ({"semantic": -np.eye(2, dtype=int)}, "classes from 0, got -1"),
        ({"boundary": np.full((2, 2), 1.5)}, r"boundary in \[0, 1\], got 1.5"),
        ({"boundary": np.full((2, 2), np.nan)}, r"boundary in \[0, 1\], got nan"),
        ({"boundary": np.zeros((2, 2, 2))}, r"boundary map \(H, W\)"),
        ({"probabilities": np.zeros((2, 2))}, r"\(C \+ 1, H, W\)"),
        ({"semantic": [[1]], "boundary": [[0, 0]]}, "boundary map of size"),
        ({"semantic": [[2]], "probabilities": [[[1]], [[0]]]}, "classes 0 to 2, got 2"),
    ],
)
def test_invalid_maps_are_rejected_in_one_line(maps, told):
    with pytest.raises(CongealError, match=told) as caught:
        Segmentation.from_maps(**maps)
    assert "\n" not in str(caught.value)


def test_a_map_of_another_size_than_the_objects_is_refused(boundary):
    with pytest.raises(CongealError, match=r"boundary map of size \(2, 2\), got \(6, 9\)"):
        Segmentation.from_labels(np.eye(2, dtype=int), boundary=boundary)


def test_the_semantic_file_holds_the_classes_and_colours_that_every_file_shares(tmp_path, semantic):
    one = Segmentation.from_maps(semantic).save_as("semantic", tmp_path, "a.tif")
    two = Segmentation.from_maps(semantic * 0).save_as("semantic", tmp_path, "b.tif")
    assert one == tmp_path / "a_semantic.png" == find_output(tmp_path, "a", "semantic")
    with Image.open(one) as picture, Image.open(two) as other:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), semantic)
        assert picture.getpalette() == other.getpalette()
        colours = np.array(picture.getpalette()).reshape(-1, 3)
    assert colours[0].tolist() == [0, 0, 0]
    assert len(np.unique(colours[:21], axis=0)) == 21


@pytest.mark.parametrize(("highest", "mode"), [(255, "P"), (256, "I;16"), (65_535, "I;16")])
def test_many_classes_take_sixteen_bits(tmp_path, highest, mode):
    result = Segmentation.from_maps([[0, highest]])
    with Image.open(result.save(tmp_path / "a_semantic.png")) as picture:
        assert picture.mode == mode
        assert np.asarray(picture).tolist() == [[0, highest]]


@settings(deadline=None, max_examples=40)
@given(boundary=SHARES)
def test_the_boundary_file_is_exact_to_a_half_of_its_65535_steps(tmp_path_factory, boundary):
    path = tmp_path_factory.mktemp("b") / "a_boundary.png"
    gray = io.imread(Segmentation.from_maps(boundary=boundary).save(path))
    assert gray.dtype == np.uint16
    assert np.abs(gray / 65_535 - boundary).max() <= 0.5 / 65_535 + 1e-9


def test_the_probabilities_file_names_its_classes(tmp_path):
    odds = np.random.default_rng(2).dirichlet(np.ones(3), SHAPE).transpose(2, 0, 1)
    result = Segmentation.from_maps(probabilities=odds, class_names=["cat", "dog"])
    with np.load(result.save_as("probabilities", tmp_path, "a.png"), allow_pickle=False) as file:
        assert file["probabilities"].dtype == np.float16
        np.testing.assert_allclose(file["probabilities"], odds, atol=1e-3)
        assert file["class_names"].tolist() == ["background", "cat", "dog"]


def test_ucm_holds_the_regions_of_the_boundary_map(tmp_path):
    boundary = np.zeros((20, 30), np.float32)
    boundary[:, 15] = 0.8
    path = Segmentation.from_maps(boundary=boundary).save(tmp_path / "a_ucm.mat")
    contours = read_mat(path, "ucm2")
    assert contours.shape == (41, 61)
    (cut,) = segments_from_contours(contours, [0.5])
    assert cut.max() == 2
    with pytest.raises(CongealError, match="a boundary map"):
        Segmentation.from_maps(semantic=[[1]]).save(tmp_path / "b_ucm.mat")


@pytest.mark.parametrize("name", ["labels", "tiff", "coco", "csv", "boundary", "probabilities"])
def test_a_format_without_data_is_rejected_and_nothing_written(tmp_path, semantic, name):
    with pytest.raises(CongealError, match=r"cannot write .* got Segmentation") as caught:
        Segmentation.from_maps(semantic).save_as(name, tmp_path, "a.png")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_result_of_classes_alone_is_tinted_by_class(semantic):
    image = np.full((*SHAPE, 3), 90, np.uint8)
    result = Segmentation.from_maps(semantic)
    picture = result.draw(image, outlines=False)
    colours = [np.unique(picture[semantic == kind], axis=0) for kind in range(4)]
    assert [len(colour) for colour in colours] == [1, 1, 1, 1]
    assert colours[0].tolist() == [[0, 0, 0]]  # as a picture without contrast is shown
    assert len({tuple(colour[0]) for colour in colours}) == 4
    flipped = Segmentation.from_maps(semantic[::-1]).draw(image, outlines=False)
    assert np.array_equal(flipped, picture[::-1])


def test_a_result_of_boundaries_alone_is_drawn_the_surer_the_stronger():
    boundary = np.array([[0, 0.25, 0.5, 1]], np.float32)
    picture = Segmentation.from_maps(boundary=boundary).draw(np.zeros((1, 4), np.uint8))
    red = picture[0, :, 0].astype(int)
    assert red.tolist() == [0, 64, 128, 255]


def test_objects_are_drawn_where_there_are_any(semantic, boundary):
    labels = np.zeros(SHAPE, int)
    labels[1:4, 2:6] = 1
    image = np.zeros(SHAPE, np.uint8)
    mapped = Segmentation.from_labels(labels, semantic=semantic, boundary=boundary)
    assert np.array_equal(mapped.draw(image), Segmentation.from_labels(labels).draw(image))


@pytest.mark.parametrize("text", ["=1+1", "+a", "-a", "@a"])
def test_no_class_name_is_a_formula_of_a_spreadsheet_and_coco_has_it_as_it_is(tmp_path, text):
    result = Segmentation.from_labels(np.eye(3, dtype=int), class_names=[text])
    with result.save_csv(tmp_path / "a.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["class"] == f"'{text}"
    document = json.loads(result.save_coco(tmp_path / "a.json").read_text())
    assert document["categories"][0]["name"] == text
