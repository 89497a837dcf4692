import math

import pytest
import torch

from congeal.networks import CompactEncoder, EmbeddingNetwork, TimmEncoder

MODES = ["none", "channels", "rotary", "both", "projected"]


def network(coordinates="rotary", **settings):
    channels = 3 + 2 * (coordinates in ("channels", "both"))
    encoder = CompactEncoder(channels, widths=(8, 8, 12))
    return EmbeddingNetwork(encoder, 4, coordinates=coordinates, **settings)


@pytest.mark.parametrize("coordinates", MODES)
@pytest.mark.parametrize("stride", [2, 4])
def test_shapes_are_as_promised(coordinates, stride):
    output = network(coordinates, stride=stride, classes=3)(torch.rand(2, 3, 32, 48))
    assert output.embedding.shape == (2, 4, 32 // stride, 48 // stride)
    assert output.semantic.shape == (2, 4, 32, 48)
    assert output.touching.shape == (2, 1, 32, 48)


@pytest.mark.parametrize("coordinates", MODES)
def test_embeddings_are_unit_vectors_in_float32_under_mixed_precision(coordinates):
    with torch.autocast("cpu", torch.bfloat16):
        output = network(coordinates)(torch.rand(1, 3, 32, 32))
    assert all(part.dtype == torch.float32 for part in output.maps().values())
    torch.testing.assert_close(output.embedding.norm(dim=1), torch.ones(1, 16, 16))


def test_a_timm_encoder_fits_in():
    encoder = TimmEncoder("resnet10t", 5, output_stride=8)
    whole = EmbeddingNetwork(encoder, 4, coordinates="both", stride=4)
    assert whole.divisor == 8
    assert whole(torch.rand(1, 3, 32, 40)).embedding.shape == (1, 4, 8, 10)


def test_the_divisor_is_the_coarsest_stride():
    assert network().divisor == 8
    assert math.lcm(*network(stride=4).encoder.reductions) == network(stride=4).divisor


def test_only_coordinates_tell_pixels_of_a_blank_image_apart():
    image = torch.ones(1, 3, 128, 128)  # its middle is out of reach of the padding
    spread = {}
    for mode in MODES:
        torch.manual_seed(0)
        embedding = network(mode).eval()(image).embedding[0]
        spread[mode] = embedding[:, 28:36, 28:36].flatten(1).std(1).max().item()
    assert spread["none"] < 1e-4
    assert min(spread[mode] for mode in MODES if mode != "none") > 1e-3


def test_mean_and_deviation_are_taken_out_of_the_image():
    torch.manual_seed(0)
    plain = network().eval()
    torch.manual_seed(0)
    other = network(mean=(0.1, 0.2, 0.3), deviation=(1.0, 2.0, 4.0)).eval()
    image = torch.rand(1, 3, 16, 16)
    scale = torch.tensor([1.0, 2.0, 4.0]).reshape(3, 1, 1)
    shift = torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1)
    for a, b in zip(plain(image)[:3], other(image * scale + shift)[:3], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
