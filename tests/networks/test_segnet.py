import torch
from torch import nn
from torchvision.models import vgg16_bn

from congeal.networks import SegNet


def test_the_encoder_is_vgg16_up_to_its_last_pooling():
    with torch.device("meta"):
        network, reference = SegNet(3, {"a": 1}), vgg16_bn().features
    ours, theirs = (
        [tuple(m.weight.shape) for m in part.modules() if isinstance(m, nn.Conv2d)]
        for part in (network.encoder, reference)
    )
    assert ours == theirs
    assert len(ours) == 13


def test_the_decoder_mirrors_the_encoder():
    with torch.device("meta"):
        network = SegNet(3, {"a": 7})
    there, back = (
        [m.weight.shape[:2] for m in part.modules() if isinstance(m, nn.Conv2d)]
        for part in (network.encoder, nn.Sequential(*reversed(network.decoder)))
    )
    assert [tuple(s) for s in back] == [(i, o) for o, i in reversed(there[1:])]
    assert network.heads["a"].weight.shape == (7, 64, 3, 3)


def test_the_weights_add_up_layer_by_layer():
    widths = [64, 64, 128, 128, *[256] * 3, *[512] * 6]
    pairs = list(zip([3, *widths], widths, strict=False))
    encoder = sum(9 * a * b + 2 * b for a, b in pairs)
    decoder = sum(9 * a * b + 2 * a for a, b in pairs[1:])
    with torch.device("meta"):
        network = SegNet(3, {"semantic": 20})
    count = sum(p.numel() for p in network.parameters())
    assert count == encoder + decoder + 9 * 64 * 20 + 20


def test_the_decoder_draws_where_the_pooling_found_its_maxima():
    """With one layer that marks a pixel, the finest unpooling puts the mark where it was."""
    network = SegNet(1, {"a": 1}, width_divisor=64).eval()
    for part in (*network.encoder, *network.decoder):
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.dirac_(layer.weight)
    nn.init.dirac_(network.heads["a"].weight)
    nn.init.zeros_(network.heads["a"].bias)
    image = torch.zeros(1, 1, 64, 64)
    image[..., 11, 42] = 1.0
    with torch.inference_mode():
        found = network(image)["a"][0, 0]
    assert found.nonzero().tolist() == [[11, 42]]
    torch.testing.assert_close(found[11, 42], torch.tensor(1.0), atol=1e-3, rtol=0)
