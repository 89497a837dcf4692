import torch
from torch import nn
from torchvision.models import vgg16

from congeal.networks import Dilation


def small(heads, **options):
    torch.manual_seed(2)
    return Dilation(3, heads, width_divisor=32, **options).eval()


def test_the_front_end_has_the_weights_of_vgg16_but_for_its_classes():
    with torch.device("meta"):
        network, reference = Dilation(3, {"semantic": 19}), vgg16()
    count = sum(p.numel() for p in network.front[:-1].parameters())
    assert count == sum(p.numel() for p in reference.parameters()) - 4097 * 1000
    classes = 4097 * 19
    context = 9 * (9 * 19 * 19 + 19)
    head = 19 * 19 + 19
    assert sum(p.numel() for p in network.parameters()) == count + classes + context + head


def test_dilation_takes_the_place_of_the_last_two_poolings():
    network = small({"a": 2})
    strides = [m.stride for m in network.front if isinstance(m, nn.MaxPool2d)]
    dilations = [m.dilation[0] for m in network.front if isinstance(m, nn.Conv2d)]
    assert strides == [2, 2, 2]
    assert dilations == [1] * 10 + [2] * 3 + [4, 1, 1]


def test_the_context_module_starts_as_the_identity():
    network = small({"embedding": 3, "semantic": 2})
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        maps, front = network(image), network.front(image).relu()
    torch.testing.assert_close(torch.cat([maps["embedding"], maps["semantic"]], 1), front)


def test_the_context_module_sees_twice_the_sum_of_its_dilations():
    network = small({"a": 1}).double()
    for layer in network.context:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    x = torch.ones(1, 1, 301, 301, dtype=torch.double, requires_grad=True)
    network.context(x)[0, 0, 150, 150].backward()
    seen = x.grad[0, 0].nonzero()
    reach = 1 + 1 + 2 + 4 + 8 + 16 + 32 + 64 + 1
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [2 * reach + 1] * 2
