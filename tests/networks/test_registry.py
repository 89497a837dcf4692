import pytest
import torch
from torch import nn

from congeal.errors import CongealError
from congeal.networks import NETWORKS, PixelNetwork, build_network

HEADS = {"embedding": 8, "semantic": 3}
# Small versions: the layers stay, the channels do not.
SMALL = {
    "encoder-decoder": {},
    "enet": {"width_divisor": 2},
    "segnet": {"width_divisor": 16},
    "dilation": {"width_divisor": 32},
    "resnet38": {"width_divisor": 32},
}
# Millions of weights in Table 2 of the discriminative loss paper.
PAPER = {"enet": 0.36, "segnet": 29.4, "dilation": 134.3, "resnet38": 124.0}
STRIDES = {"encoder-decoder": 2, "enet": 1, "segnet": 1, "dilation": 8, "resnet38": 8}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


def small(name, **options):
    return build_network(name, 3, HEADS, **SMALL[name], **options)


def weights(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("classes", [8, 19, 20])
def test_networks_have_as_many_weights_as_their_papers_say(name, classes):
    with torch.device("meta"):
        network = build_network(name, 3, {"semantic": classes})
    assert weights(network) / 1e6 == pytest.approx(PAPER[name], rel=0.02)


def test_every_network_has_a_small_version_in_these_tests():
    assert set(SMALL) == set(STRIDES) == set(NETWORKS)


@pytest.mark.parametrize("name", SMALL)
def test_maps_cover_images_of_any_size(name):
    network = small(name).eval()
    assert network.stride == STRIDES[name]
    for height, width in ((64, 96), (37, 51), (1, 3)):
        with torch.inference_mode():
            maps = network(torch.rand(2, 3, height, width))
        rows, columns = -(-height // network.stride), -(-width // network.stride)
        shapes = {head: tuple(x.shape) for head, x in maps.items()}
        assert shapes == {head: (2, c, rows, columns) for head, c in HEADS.items()}


@pytest.mark.parametrize("name", SMALL)
def test_divisible_images_are_not_padded(name):
    network = small(name).eval()
    image = torch.rand(1, 3, 2 * network.divisor, 3 * network.divisor)
    with torch.inference_mode():
        whole, raw = network(image), network.maps(image)
    assert all(torch.equal(whole[head], raw[head]) for head in HEADS)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_weight(name):
    network = small(name).train()
    maps = network(torch.randn(2, 3, 64, 96))
    torch.stack([(x * torch.randn_like(x)).sum() for x in maps.values()]).sum().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_heads_share_all_but_the_last_layer(name):
    network = small(name).train()
    network(torch.randn(2, 3, 32, 32))["semantic"].square().sum().backward()
    without = {n for n, p in network.named_parameters() if p.grad is None}
    assert without == {n for n, _ in network.named_parameters() if n.startswith("heads.embedding")}


@pytest.mark.parametrize("name", SMALL)
def test_networks_run_in_bfloat16(name):
    network = small(name).eval()
    image = torch.rand(1, 3, 32, 40)
    with torch.inference_mode():
        exact = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            maps = network(image)
    for head in HEADS:
        assert maps[head].shape == exact[head].shape
        assert maps[head].isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_saved_and_loaded_by_name(name):
    network, twin = small(name).eval(), small(name).eval()
    twin.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(network(image)["embedding"], twin(image)["embedding"])


@pytest.mark.parametrize("name", SMALL)
def test_coordinate_channels_widen_the_input(name):
    network = build_network(name, 5, HEADS, **SMALL[name]).eval()
    assert network(torch.rand(1, 5, 32, 32))["semantic"].shape[1] == 3


def test_a_finer_stride_is_bilinear_interpolation():
    network = small("dilation", stride=2).eval()
    image = torch.rand(1, 3, 40, 51)
    with torch.inference_mode():
        fine = network(image)["embedding"]
        padded = nn.functional.pad(image, (0, 5, 0, 0), mode="replicate")
        coarse = network.maps(padded)["embedding"]
    assert fine.shape == (1, 8, 20, 26)
    expected = nn.functional.interpolate(coarse, size=(20, 28), mode="bilinear")[..., :26]
    torch.testing.assert_close(fine, expected)


def test_a_coarser_stride_is_the_mean():
    network = small("enet", stride=4).eval()
    image = torch.rand(1, 3, 24, 41)
    with torch.inference_mode():
        coarse = network(image)["semantic"]
        fine = network.maps(nn.functional.pad(image, (0, 7, 0, 0), mode="replicate"))["semantic"]
    assert coarse.shape == (1, 3, 6, 11)
    expected = fine.unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2))[..., :11]
    torch.testing.assert_close(coarse, expected)
    assert small("enet", stride=16).divisor == 16


def test_options_reach_the_network():
    light, wide = (build_network("encoder-decoder", 3, HEADS, decoder=d) for d in ("light", "wide"))
    assert weights(wide) > weights(light)
    timm = build_network("encoder-decoder", 3, HEADS, encoder="resnet10t", output_stride=16)
    assert timm.divisor == 16


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("e-net", 3, HEADS), {}, "unknown network 'e-net'; did you mean 'enet'"),
        (("enet", 3, HEADS), {"strid": 1}, "option of the network 'enet' 'strid'; did you mean 's"),
        (("enet", 3, {}), {}, "expected at least one head"),
        (("segnet", 3, {"a": 0}), {}, "at least 1 channel each"),
        (("segnet", 0, HEADS), {}, "at least 1 channel each"),
        (("enet", 16, HEADS), {}, "expected fewer than 16 input channels, got 16"),
        (("dilation", 3, HEADS), {"stride": 3}, "a stride that divides 8 or is a multiple, got 3"),
        (("segnet", 3, HEADS), {"width_divisor": 48}, "width_divisor that divides 64, got 48"),
        (("resnet38", 3, HEADS), {"width_divisor": 0}, "width_divisor that divides 64, got 0"),
    ],
)
def test_bad_requests_are_refused_in_one_line(arguments, options, said):
    with pytest.raises(CongealError, match=said) as caught:
        build_network(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_the_base_leaves_the_maps_to_its_subclasses():
    with pytest.raises(NotImplementedError):
        PixelNetwork(1, {"a": 1}, native_stride=1, divisor=1)(torch.zeros(1, 1, 2, 2))
