import torch

from congeal.networks import ENet


def block(channels_in, channels_out, first, main):
    """Weights of a bottleneck: three convolutions, each with batch norm, three PReLUs."""
    inner = channels_out // 4
    convolutions = channels_in * inner * first + inner**2 * main + inner * channels_out
    return convolutions + 2 * (2 * inner + channels_out) + 2 * inner + channels_out


def weights(module):
    return sum(p.numel() for p in module.parameters())


def test_weights_add_up_stage_by_stage_as_in_table_1():
    network = ENet(3, {"semantic": 19})
    stage = 6 * block(128, 128, 1, 9) + 2 * block(128, 128, 1, 10)  # 5 x 1 and 1 x 5
    expected = {
        "initial": 13 * 3 * 9 + 3 * 16,
        "down1": block(16, 64, 4, 9),
        "stage1": 4 * block(64, 64, 1, 9),
        "down2": block(64, 128, 4, 9),
        "stage2": stage,
        "stage3": stage,
        "up4": block(128, 64, 1, 9) + 128 * 64 + 2 * 64,
        "stage4": 2 * block(64, 64, 1, 9),
        "up5": block(64, 16, 1, 9) + 64 * 16 + 2 * 16,
        "stage5": block(16, 16, 1, 9),
        "heads": 16 * 19 * 4 + 19,
    }
    assert {name: weights(child) for name, child in network.named_children()} == expected


def test_the_initial_block_keeps_the_pooled_image():
    network = ENet(3, {"a": 1}).eval()
    image = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        first = network.initial(image)
    assert first.shape == (1, 16, 4, 4)
    pooled = image.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
    torch.testing.assert_close(first[:, 13:], pooled / (1 + 1e-5) ** 0.5)  # untrained batch norm


def test_unpooling_returns_to_where_the_encoder_found_its_maxima():
    network = ENet(3, {"a": 1}).eval()
    x = torch.rand(1, 16, 8, 8)
    with torch.inference_mode():
        _, indices = network.down1(x)
        for convolution in (m for m in network.up5.body.modules() if hasattr(m, "stride")):
            convolution.weight.zero_()  # leaves the shortcut
        spread = network.up5(torch.rand(1, 64, 4, 4), indices)
    maxima = torch.zeros(1, 16, 64, dtype=torch.bool).scatter(2, indices.flatten(2), True)
    assert torch.equal(spread.flatten(2) != 0, maxima)


def test_the_trunk_sees_far_beyond_a_few_strides():
    network = ENet(3, {"a": 1}).eval()
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    network(image)["a"][0, 0, 64, 64].backward()
    seen = image.grad.abs().sum((0, 1)).nonzero()
    assert (seen.amax(0) - seen.amin(0)).min() > 100
