import numpy as np
import pytest
import torch
from cases.rpe_cases import EAGER, decode, make, perfect, scene, speckled

from congeal.errors import CongealError
from congeal.methods.image import pad_to
from congeal.networks import EmbeddingOutput


@pytest.mark.parametrize("coordinates", ["rotary", "both", "projected"])
@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 7), (3, 200), (33, 65), (64, 32), (45, 31)]
)
def test_any_image_size_gives_labels_of_that_size(height, width, coordinates):
    result = make(**EAGER, coordinates=coordinates).segment(speckled(height, width))
    labels = result.labels
    assert labels.shape == (height, width)
    assert labels.dtype == np.int64
    assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, len(result) + 1))
    assert len(result) >= 1
    assert ((result.scores >= 0) & (result.scores <= 1)).all()


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("radius", [None, 12.0])
def test_both_strides_and_both_ways_to_decode_work_on_sizes_that_do_not_divide(stride, radius):
    result = make(**EAGER, stride=stride, repulsion_radius=radius).segment(speckled(37, 50))
    assert result.shape == (37, 50)
    assert (result.labels > 0).all()


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 1), (40, 30, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_gray_and_colour_of_every_depth_are_taken(shape, dtype):
    image = speckled(40, 30).astype(dtype)[..., : shape[-1] if len(shape) == 3 else 1]
    assert make(**EAGER).segment(image.reshape(shape)).shape == (40, 30)


def test_the_scale_of_the_pixels_changes_nothing():
    model, image = make(**EAGER), speckled(40, 33)
    expected = model.segment(image, keep_embedding=True)
    for other in (image.astype(np.uint16) * 256, image.astype(np.float32) / 256):
        result = model.segment(other, keep_embedding=True)
        assert np.array_equal(result.labels, expected.labels)
        assert np.array_equal(result.scores, expected.scores)
        assert np.array_equal(result.embedding, expected.embedding)


def test_a_gray_image_is_the_same_with_and_without_its_channel():
    model, image = make(**EAGER), speckled(20, 20, 1)
    assert np.array_equal(model.segment(image).labels, model.segment(image[..., 0]).labels)


def test_a_wide_decoder_is_what_the_setting_says():
    light, wide = make().network.decoder, make(decoder="wide").network.decoder
    assert (light.channels, wide.channels) == (24, 40)


def test_a_constant_image_has_a_result():
    assert make(**EAGER).segment(np.full((20, 30), 7, np.uint16)).shape == (20, 30)


@pytest.mark.parametrize("shape", [(4, 4, 4), (0, 4, 3), (4,)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(CongealError, match=r"expected an image"):
        make().segment(np.zeros(shape, np.uint8))


def test_segmenting_leaves_a_model_in_training_as_it_was():
    model = make().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.segment(speckled(32, 32))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_embedding_is_kept_when_asked_for_and_covers_the_image():
    model = make(stride=4)
    assert model.segment(speckled(30, 50)).embedding is None
    embedding = model.segment(speckled(30, 50), keep_embedding=True).embedding
    assert embedding.shape == (4, 8, 13)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=0), 1, rtol=1e-5)


def test_padding_repeats_the_border():
    padded = pad_to(torch.arange(6.0).reshape(1, 1, 2, 3), 4)
    assert padded[0, 0].tolist() == [[0, 1, 2, 2]] + 3 * [[3, 4, 5, 5]]


@pytest.mark.parametrize("stride", [2, 4])
def test_perfect_outputs_are_decoded_as_the_objects_they_tell(stride):
    labels = np.repeat(np.repeat(scene(), 2, 0), 2, 1)
    model = make(stride=stride, min_area=4)
    (result,) = decode(model, perfect(labels, stride), labels.shape)
    assert len(result) == 3
    for number in (1, 2, 3):
        found = np.unique(result.labels[labels == number])
        assert len(found) == 1
        assert np.array_equal(result.labels == found[0], labels == number)
    assert (result.scores > 0.99).all()


def test_objects_get_the_class_that_most_of_their_pixels_have():
    labels = scene()
    output = perfect(labels, classes=(0, 2, 1, 2), count=2)
    output.semantic[0, :, 2, :4] = torch.tensor([0.0, 20.0, 0.0])[:, None]  # a few dissent
    model = make(class_names=("square", "bar"), min_area=4)
    (result,) = decode(model, output, labels.shape)
    classes = {int(labels[result.labels == i][0]): int(c) for i, c in enumerate(result.classes, 1)}
    assert classes == {1: 2, 2: 1, 3: 2}
    assert tuple(result.class_names) == ("square", "bar")


def test_background_as_a_group_is_the_largest_and_is_left_out():
    labels = scene()
    (result,) = decode(make(background="group", min_area=4), perfect(labels), labels.shape)
    assert len(result) == 3
    assert np.array_equal(result.labels > 0, labels > 0)


@pytest.mark.parametrize("background", ["head", "group"])
def test_an_image_without_objects_has_an_empty_result(background):
    labels = np.zeros((16, 24), np.int64)
    (result,) = decode(make(background=background), perfect(labels), labels.shape)
    assert len(result) == 0
    assert not result.labels.any()


def test_a_batch_is_decoded_image_by_image():
    outputs = [perfect(scene()), perfect(np.zeros((16, 24), np.int64))]
    batch = EmbeddingOutput(
        *(torch.cat(parts) for parts in zip(*(one[:3] for one in outputs), strict=True))
    )
    assert [len(result) for result in decode(make(min_area=4), batch, (16, 24))] == [3, 0]


def test_fragments_under_the_smallest_size_are_no_objects():
    labels = scene()
    (result,) = decode(make(min_area=40), perfect(labels), labels.shape)
    assert len(result) == 2  # the square of 36 pixels is gone


def test_fragments_by_the_measure_of_their_image_are_no_objects():
    labels = scene()
    (result,) = decode(make(min_area=4, min_area_ratio=0.7), perfect(labels), labels.shape)
    assert len(result) == 2  # 36 pixels are under 0.7 of the median, 60


def test_objects_the_semantic_map_is_unsure_of_are_dropped_when_asked():
    labels, sure = scene(), {"min_area": 4, "min_score": 0.7}
    output = perfect(labels)
    output.semantic[0, :, 8:14, 12:22] = torch.tensor([0.0, 0.3])[:, None, None]
    (result,) = decode(make(**sure), output, labels.shape)
    assert np.array_equal(result.labels > 0, (labels == 1) | (labels == 2))
    assert (result.scores > 0.7).all()
    output.semantic[0] = torch.tensor([0.0, 0.3])[:, None, None]
    assert len(decode(make(**sure), output, labels.shape)[0]) == 0
