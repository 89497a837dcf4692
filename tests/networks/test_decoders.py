import pytest
import torch

from congeal.errors import CongealError
from congeal.networks import CompactEncoder, FullResolutionHead, LightDecoder, ProjectedHead


def features(channels, reductions, side=64):
    return [
        torch.randn(2, c, side // r, side // r) for c, r in zip(channels, reductions, strict=True)
    ]


@pytest.mark.parametrize("size", ["light", "wide"])
@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize(
    ("channels", "reductions"),
    [([8, 12, 16, 200], [2, 4, 8, 16]), ([8, 12, 16, 24], [2, 4, 8, 8]), ([8, 12], [2, 4])],
)
def test_the_map_has_the_stride_and_channels_promised(channels, reductions, stride, size):
    decoder = LightDecoder(channels, reductions, stride, size)
    x = decoder(features(channels, reductions))
    assert x.shape == (2, decoder.channels, 64 // stride, 64 // stride)


def test_wide_encoders_stay_light():
    decoder = LightDecoder([512, 1024, 2048], [2, 4, 8])
    assert decoder.channels == 24
    assert sum(p.numel() for p in decoder.parameters()) < 250_000


def test_a_wide_decoder_has_more_to_learn_with_at_every_level():
    light, wide = (LightDecoder([8, 12, 16, 24], [2, 4, 8, 16], size=s) for s in ("light", "wide"))
    for few, many in zip(light.refine, wide.refine, strict=True):
        assert sum(p.numel() for p in many.parameters()) > sum(p.numel() for p in few.parameters())


def test_joining_before_the_product_is_joining_channels_after_it():
    decoder = LightDecoder([4, 6], [2, 4]).eval()
    fine, coarse = features([4, 6], [2, 4], 16)
    spread = coarse.repeat_interleave(4 // 2, 2).repeat_interleave(4 // 2, 3)
    weight = torch.cat([decoder.across[0].weight, decoder.up[0].weight], 1)
    joined = torch.nn.functional.conv2d(torch.cat([fine, spread], 1), weight)
    torch.testing.assert_close(decoder([fine, coarse]), decoder.refine[0](joined))


def test_every_feature_reaches_the_map():
    channels, reductions = [4, 6, 8], [2, 4, 8]
    inputs = [f.requires_grad_() for f in features(channels, reductions, 32)]
    LightDecoder(channels, reductions)(inputs).square().sum().backward()
    assert all(f.grad.abs().sum() > 0 for f in inputs)


def test_a_stride_the_encoder_does_not_give_is_refused():
    with pytest.raises(CongealError, match=r"expected features at stride 2, .* gives \[4, 8\]"):
        LightDecoder([8, 8], [4, 8], stride=2)


@pytest.mark.parametrize("stride", [2, 4])
def test_the_head_draws_at_the_resolution_of_the_image(stride):
    head = FullResolutionHead(6, 3, 5, stride=stride)
    image = torch.rand(2, 3, 16, 24)
    assert head(torch.rand(2, 6, 16 // stride, 24 // stride), image).shape == (2, 5, 16, 24)


def test_the_head_sees_single_pixels_of_the_image():
    head = FullResolutionHead(4, 3, 2, stride=4).eval()
    coarse, image = torch.rand(1, 4, 4, 4), torch.rand(1, 3, 16, 16)
    other = image.clone()
    other[0, :, 5, 6] += 1
    changed = (head(coarse, image) != head(coarse, other)).any(1)[0].nonzero()
    assert len(changed)
    assert (changed - torch.tensor([5, 6])).abs().max() <= 2  # two 3 x 3 layers


@pytest.mark.parametrize("stride", [2, 4])
def test_a_projected_embedding_depends_on_the_position_along_its_directions_only(stride):
    head = ProjectedHead(6, 4, stride=stride).eval()
    with torch.no_grad():
        head.direct.weight.zero_()
        head.direct.bias.zero_()
        head.direct.bias[: len(head.direct.bias) // 2] = 1.0  # all directions: down
        head.look[0].weight.zero_()
        embedding = head(torch.rand(2, 6, 12, 9))
    assert embedding.shape == (2, 4, 12, 9)
    torch.testing.assert_close(embedding, embedding[..., :1].expand(-1, -1, -1, 9))
    assert (embedding[:, :, 1:] != embedding[:, :, :-1]).any(1).all()


def test_the_small_encoder_is_small_and_halves_five_times():
    encoder = CompactEncoder(3)
    assert encoder.reductions == [2, 4, 8, 16, 32]
    assert sum(p.numel() for p in encoder.parameters()) < 1_000_000
    shapes = [f.shape[1:] for f in encoder(torch.zeros(1, 3, 64, 32))]
    assert shapes == [
        (c, 64 // r, 32 // r) for c, r in zip(encoder.channels, encoder.reductions, strict=True)
    ]
