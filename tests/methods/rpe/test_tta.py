"""Test-time augmentation: a turned and mirrored image tells the same objects; all agree."""

import numpy as np
import pytest
import torch

from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.methods.rpe.tta import ORIENTATIONS, augmented_prediction
from congeal.networks import EmbeddingOutput


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    return RPE(dimensions=4).eval()


def image(height=32, width=64):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def similarities(embedding):
    points = embedding.flatten(2)[0]
    return points.T @ points


@torch.no_grad()
def test_one_orientation_is_what_the_network_says(model):
    seen, plain = augmented_prediction(model, image()), model(image())
    assert all(torch.equal(a, b) for a, b in zip(seen[:3], plain[:3], strict=True))


@torch.no_grad()
@pytest.mark.parametrize("tta", [2, 4, 8])
def test_similarities_and_probabilities_are_means_over_the_orientations(model, tta):
    shown = image()
    cosines, semantic, boundary = [], [], []
    for turns, mirrored in ORIENTATIONS[tta]:
        turned = np.rot90(shown.numpy()[..., ::-1] if mirrored else shown.numpy(), turns, (2, 3))
        said = [part.numpy() for part in model(torch.from_numpy(turned.copy()))[:3]]
        said = [np.rot90(part, -turns, (2, 3)) for part in said]
        said = [torch.from_numpy((p[..., ::-1] if mirrored else p).copy()) for p in said]
        cosines.append(similarities(said[0]))
        semantic.append(said[1].softmax(1))
        boundary.append(said[2].sigmoid())
    seen = augmented_prediction(model, shown, tta)
    close = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(similarities(seen.embedding), sum(cosines) / tta, **close)
    torch.testing.assert_close(seen.semantic.softmax(1), sum(semantic) / tta, **close)
    torch.testing.assert_close(seen[2].sigmoid(), sum(boundary) / tta, **close)
    torch.testing.assert_close(seen.embedding.norm(dim=1), torch.ones(1, 16, 32))


@torch.no_grad()
@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_with_all_orientations_the_result_turns_as_the_image_does(model, turns, mirrored):
    def turn(part):
        return torch.rot90(part.flip(-1) if mirrored else part, turns, (-2, -1))

    plain, turned = (
        augmented_prediction(model, image(), 8),
        augmented_prediction(model, turn(image()), 8),
    )
    for one, other in zip(plain[1:3], turned[1:3], strict=True):
        torch.testing.assert_close(turn(one), other, atol=1e-4, rtol=1e-4)
    expected = similarities(turn(plain.embedding))
    torch.testing.assert_close(similarities(turned.embedding), expected, atol=1e-5, rtol=1e-4)


def test_sure_maps_stay_finite():
    def sure(image):
        size = image.shape[2:]
        semantic = torch.full((1, 2, *size), 200.0)
        semantic[:, 1] = -200
        embedding = torch.ones(1, 1, size[0] // 2, size[1] // 2)
        return EmbeddingOutput(embedding, semantic, torch.full((1, 1, *size), -200.0))

    seen = augmented_prediction(sure, image(), 4)
    assert all(part.isfinite().all() for part in seen.maps().values())
    assert (seen.semantic[:, 0] > seen.semantic[:, 1]).all()


@pytest.mark.parametrize("size", [(1, 1), (33, 65), (40, 30)])
def test_segmenting_in_orientations_takes_images_of_any_size(size):
    torch.manual_seed(0)
    model = RPE(dimensions=4, foreground_threshold=1e-6, min_area=0, tta=4)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 200, (*size, 3)).astype(np.uint8)
    result = model.segment(pixels, keep_embedding=True)
    assert result.shape == size
    assert result.embedding.shape == (16, -(-size[0] // 2), -(-size[1] // 2))


def test_the_orientations_can_be_changed_where_the_weights_are_there():
    assert RPE(dimensions=4).configure(tta=8).config.decoding.tta == 8
    with pytest.raises(CongealError, match=r"decoding.tta: .* got 3"):
        RPE(dimensions=4).configure(tta=3)
