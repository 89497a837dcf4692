"""RPE for boundaries: what shapes the embedding when, several annotators, scales, pictures."""

import numpy as np
import pytest
import torch
from cases.discs_and_squares import DiscsAndSquares

from congeal.data.batch import Batch
from congeal.methods.registry import find_method
from congeal.methods.rpe import RPEBoundaries
from congeal.methods.rpe.boundaries import boundary_groups
from congeal.methods.rpe.boundaries_config import BoundaryNetwork
from congeal.methods.rpe.sides import SideNetwork

IMAGE = DiscsAndSquares("test", side=64)[0].image


def crop(share=1.0):
    """A vertical boundary that so many annotators mark."""
    boundaries = torch.zeros(1, 64, 64)
    boundaries[:, :, 30] = share
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return Batch(pixels, boundaries=boundaries)


def terms(model, batch, **more):
    return model.losses(batch, generator=torch.Generator().manual_seed(0), **more)


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    return RPEBoundaries(class_names=("object",)).eval()


def test_rpe_with_task_boundaries_is_this_class():
    assert find_method("rpe", "boundaries") is RPEBoundaries


def gradients(model, batch, names, stage):
    """Largest gradient of encoder and embedding that these terms give."""
    model.zero_grad()
    found = terms(model, batch, stage=stage)
    sum(found[name] for name in names).backward()
    network = model.network
    shaped = [*network.encoder.parameters(), *network.embed.parameters()]
    return max((float(p.grad.abs().max()) for p in shaped if p.grad is not None), default=0.0)


def test_the_logistic_loss_shapes_the_embedding_in_fine_tuning_only(model):
    batch, maps = crop(), ("sides", "fusion")
    assert gradients(model, batch, maps, "embedding") == 0
    assert gradients(model, batch, ("embedding",), "embedding") > 0
    assert gradients(model, batch, maps, "fine-tuning") > 0


def test_both_losses_can_be_joined_in_one_stage():
    joint = RPEBoundaries(embedding_share=0, embedding_weight=0.5)
    assert [stage.name for stage in joint.stages()] == ["fine-tuning"]
    alone = RPEBoundaries(embedding_share=0)
    alone.load_state_dict(joint.state_dict())
    found, plain = (terms(one.eval(), crop()) for one in (joint, alone))
    assert set(found) - set(plain) == {"embedding"}
    assert torch.equal(found["fusion"], plain["fusion"])


@pytest.mark.parametrize(("share", "group"), [(0.0, 0), (0.1, -1), (0.29, -1), (0.3, 1), (1.0, 1)])
def test_pixels_of_too_few_annotators_are_void(share, group):
    assert boundary_groups(torch.tensor([share]), 0.3).item() == group


def test_consensus_decides_what_the_losses_take_for_boundary():
    weak, same = (RPEBoundaries(consensus=value).eval() for value in (0.3, 0.5))
    same.load_state_dict(weak.state_dict())
    one, other = (terms(model, crop(0.4))["fusion"] for model in (weak, same))
    assert not torch.equal(one, other)


def test_the_few_boundary_pixels_weigh_as_much_as_all_others(model):
    """The loss of one collapsed embedding is that of two groups of equal weight."""
    with torch.no_grad():
        flat = [torch.zeros_like(e) for e in model(crop().image).embeddings]
    for one in flat:
        one[:, 0] = 1
    groups = boundary_groups(crop().boundaries, 0.3)
    output = model(crop().image)._replace(embeddings=flat)
    loss = model._pairwise(output, groups, torch.Generator().manual_seed(0))
    # pairs of different groups have half of the weight, each is at 1 - margin
    assert float(loss) == pytest.approx(0.5 * (1 - model.config.loss.margin), abs=1e-5)


def test_side_outputs_are_those_of_the_paper():
    settings = BoundaryNetwork(encoder="resnet18", stride=4, top_down=False)
    output = SideNetwork(settings).eval()(torch.zeros(1, 3, 64, 64))
    assert [tuple(e.shape[1:]) for e in output.embeddings] == [(3, 16, 16), *3 * [(3, 8, 8)]]
    assert output.fusion.shape == (1, 1, 16, 16)
    assert all(torch.allclose(e.norm(dim=1), torch.ones(())) for e in output.embeddings)


def test_maps_of_several_scales_are_averaged(model):
    maps = {}
    for scales in ((0.5,), (1.5,), (0.5, 1.5)):
        maps[scales] = model.configure(scales=scales).predict_maps(IMAGE).maps
    model.configure(scales=(1.0,))
    for name in ("sides", "fusion"):
        mean = (maps[(0.5,)][name] + maps[(1.5,)][name]) / 2
        assert torch.allclose(maps[(0.5, 1.5)][name], mean, atol=1e-6)


def test_the_result_is_the_weighted_mean_of_the_maps_thinned(model):
    maps = model.predict_maps(IMAGE)
    model.configure(side_weight=0.25, smoothing=0.0, thin=False)
    plain = model.decode(maps).boundary
    mean = 0.25 * maps.maps["sides"] + 0.75 * maps.maps["fusion"]
    assert np.allclose(plain, mean[0], atol=1e-6)
    thin = model.configure(thin=True).decode(maps).boundary
    assert np.allclose(thin[thin > 0], plain[thin > 0])
    assert 0 < np.mean(thin > 0) < 0.5
    model.configure(side_weight=0.5, smoothing=1.0)


def test_pictures_show_the_embedding_as_colours_of_the_size_of_the_image(model):
    steps = model.illustrate(IMAGE)
    assert [title for title, _ in steps] == [
        *(f"stride {stride}" for stride in (2, 4, 8, 16, 32)),
        "before thinning",
    ]
    assert all(picture.shape == (64, 64, 3) and picture.dtype == np.uint8 for _, picture in steps)
    with torch.inference_mode():
        finest = model.compute_maps(IMAGE).maps["embedding"]
    shown = (finest.numpy().transpose(1, 2, 0) + 1) / 2 * 255
    assert np.abs(steps[0][1][::2, ::2] - shown).max() <= 1
