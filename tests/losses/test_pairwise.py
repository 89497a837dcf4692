"""The pairwise loss against the sum over all pairs written out in float64."""

from __future__ import annotations

import pytest
import torch

from congeal.errors import CongealError
from congeal.grouping import MeanShift
from congeal.losses import PairwiseLoss, pairwise_loss, sampled_pairwise_loss


def naive_loss(
    embedding, labels, *, margin=0.5, weight=1.0, background=True, repulsion_radius=None
):
    """The loss of one image, ``(D, *S)`` and ``(*S)``, by a double loop over its pixels."""
    first = 0 if background else 1
    pixels = [
        (label, embedding[(slice(None), *place)].double(), torch.tensor(place).double())
        for place, label in zip(
            (labels >= first).nonzero().tolist(), labels[labels >= first], strict=True
        )
    ]
    sizes = {int(label): int((labels == label).sum()) for label in labels[labels >= first]}
    loss = total = torch.zeros((), dtype=torch.float64)
    for label, x, p in pixels:
        for other, y, q in pixels:
            w = 1 / (len(sizes) ** 2 * sizes[int(label)] * sizes[int(other)])
            similarity = 0.5 + 0.5 * (x @ y) / max(float(x.norm() * y.norm()), 1e-12)
            if label == other:
                loss, total = loss + w * (1 - similarity), total + w
            elif repulsion_radius is None or float((p - q).norm()) < repulsion_radius:
                loss, total = loss + w * weight * (similarity - margin).relu(), total + w
    return loss / total if pixels else loss


def drawn(seed=0, size=(4, 5), dimensions=3, labels=4, batch=1):
    """Random embeddings (of any length) and labels from -1 up."""
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(batch, dimensions, *size, generator=generator, dtype=torch.float64)
    return embedding * 3, torch.randint(-1, labels, (batch, *size), generator=generator)


def same(loss, expected, tolerance=1e-12):
    torch.testing.assert_close(loss, torch.as_tensor(expected), atol=tolerance, rtol=tolerance)


# --- the value ---------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5, 0.9])
def test_the_loss_is_the_double_sum_over_pixels(margin, background):
    embedding, labels = drawn()
    settings = {"margin": margin, "background": background}
    same(
        pairwise_loss(embedding, labels, **settings),
        naive_loss(embedding[0], labels[0], **settings),
    )


@pytest.mark.parametrize("weight", [0.0, 1.0, 5.0])
def test_the_negative_weight_scales_pairs_of_different_groups_only(weight):
    embedding, labels = drawn(seed=1)
    loss = pairwise_loss(embedding, labels, margin=0.2, negative_weight=weight)
    same(loss, naive_loss(embedding[0], labels[0], margin=0.2, weight=weight))


@pytest.mark.parametrize("radius", [0.5, 1.5, 2.0, 3.0, 100.0])
def test_with_a_radius_the_loss_is_the_mean_over_the_pairs_that_count(radius):
    embedding, labels = drawn(seed=2)
    settings = {"margin": 0.2, "repulsion_radius": radius}
    same(
        pairwise_loss(embedding, labels, **settings),
        naive_loss(embedding[0], labels[0], **settings),
    )


def test_a_radius_beyond_the_image_changes_nothing():
    embedding, labels = drawn(seed=3)
    same(pairwise_loss(embedding, labels, repulsion_radius=1e3), pairwise_loss(embedding, labels))


def test_objects_out_of_the_radius_may_share_a_direction():
    embedding = torch.ones(1, 2, 1, 10)
    labels = torch.tensor([[[1, 1, 0, 0, 0, 0, 0, 0, 2, 2]]])
    near, far = (
        pairwise_loss(embedding, labels, background=False, repulsion_radius=radius)
        for radius in (10, 6)
    )
    assert near > 0.1
    assert far.item() == pytest.approx(0, abs=1e-6)


def test_pixels_exactly_at_the_radius_do_not_repel():
    embedding = torch.ones(1, 2, 1, 4)
    labels = torch.tensor([[[1, -1, -1, 2]]])
    assert pairwise_loss(embedding, labels, repulsion_radius=3.0).item() == pytest.approx(
        0, abs=1e-6
    )
    assert pairwise_loss(embedding, labels, repulsion_radius=3.01) > 0.1


def test_the_loss_of_a_batch_is_the_mean_over_its_images():
    embedding, labels = drawn(seed=4, batch=3)
    one_by_one = [naive_loss(e, y, margin=0.3) for e, y in zip(embedding, labels, strict=True)]
    same(pairwise_loss(embedding, labels, margin=0.3), torch.stack(one_by_one).mean())


def test_images_with_three_dimensions_are_taken():
    embedding, labels = drawn(seed=5, size=(2, 3, 3), batch=2)
    expected = [
        naive_loss(e, y, repulsion_radius=2.0) for e, y in zip(embedding, labels, strict=True)
    ]
    same(pairwise_loss(embedding, labels, repulsion_radius=2.0), torch.stack(expected).mean())


def test_more_pixels_than_a_block_of_rows_give_the_same_sum():
    embedding, labels = drawn(seed=6, size=(40, 53))  # two blocks and a bit
    unit = torch.nn.functional.normalize(embedding[0].flatten(1), dim=0)
    flat = labels.flatten()
    kept, unit = flat[flat >= 0], unit[:, flat >= 0]
    weight = 1 / (len(kept.unique()) * torch.bincount(kept)[kept].double())
    similarity = 0.5 + 0.5 * unit.T @ unit
    alike = kept[:, None] == kept
    terms = torch.where(alike, 1 - similarity, (similarity - 0.5).relu())
    same(pairwise_loss(embedding, labels), weight @ terms @ weight)


def test_perfectly_separated_groups_have_no_loss():
    labels = torch.arange(4).repeat(6).reshape(1, 4, 6)
    embedding = torch.eye(4)[labels].movedim(-1, 1) * 7
    assert pairwise_loss(embedding, labels, margin=0.5) == 0


def test_equal_directions_cost_one_minus_margin_per_pair_of_groups():
    """All similarities are 1: K (K - 1) of the K^2 pairs of groups cost 1 - alpha each."""
    labels = torch.arange(4).repeat(6).reshape(1, 4, 6)
    embedding = torch.ones(1, 3, 4, 6)
    assert pairwise_loss(embedding, labels, margin=0.2).item() == pytest.approx(12 / 16 * 0.8)


def test_an_image_of_one_object_has_the_positive_loss_only():
    embedding, _ = drawn(seed=7)
    labels = torch.full((1, 4, 5), 9)
    same(pairwise_loss(embedding, labels), naive_loss(embedding[0], labels[0]))
    same(pairwise_loss(embedding, labels, repulsion_radius=2), pairwise_loss(embedding, labels))


@pytest.mark.parametrize("size", [1, 30])
def test_groups_count_the_same_whatever_their_size(size):
    """Two opposite pixels cost 1/2 as a group, a quarter of the whole beside any tight group."""
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]] + [[0.0, 1.0]] * size).T[None, :, None]
    labels = torch.tensor([[[1, 1] + [2] * size]])
    assert pairwise_loss(x, labels).item() == pytest.approx(0.5 / 4)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("radius", [None, 2.0])
@pytest.mark.parametrize(
    "grouping", [None, MeanShift(steps=2), MeanShift(steps=1, kernel_radius=3.0)]
)
def test_images_without_a_group_give_zero_with_zero_gradient(background, radius, grouping):
    embedding, labels = drawn(batch=2)
    embedding.requires_grad_()
    empty = torch.full_like(labels, -1) if background else labels.clamp(max=0)
    loss = pairwise_loss(
        embedding,
        empty,
        background=background,
        repulsion_radius=radius,
        grouping=grouping,
    )
    loss.backward()
    assert loss == 0
    assert embedding.grad.eq(0).all()


def test_an_image_of_void_still_counts_in_the_mean():
    embedding, labels = drawn(seed=8, batch=2)
    labels[1] = -1
    same(pairwise_loss(embedding, labels), naive_loss(embedding[0], labels[0]) / 2)


def test_a_batch_without_images_gives_zero():
    assert pairwise_loss(torch.ones(0, 3, 4, 5), torch.ones(0, 4, 5, dtype=torch.int64)) == 0


def test_the_loss_of_pixels_already_drawn_is_the_loss_of_the_image():
    embedding, labels = drawn(seed=9)
    labels = labels.clamp(min=0)
    unit = torch.nn.functional.normalize(embedding[0].flatten(1), dim=0).T
    place = torch.cartesian_prod(torch.arange(4), torch.arange(5))
    loss = sampled_pairwise_loss(unit, labels.flatten(), place, margin=0.3, repulsion_radius=2.5)
    same(loss, pairwise_loss(embedding, labels, margin=0.3, repulsion_radius=2.5))


# --- mean-shift steps --------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [{}, {"kernel_radius": 4.0}, {"eta": 0.5}])
def test_every_mean_shift_step_adds_its_loss(shift):
    embedding, labels = drawn(seed=10)
    labels = labels.clamp(min=0)
    grouping = MeanShift(concentration=5.0, steps=3, **shift)
    expected = naive_loss(embedding[0], labels[0])
    for moved in grouping(embedding):
        expected = expected + naive_loss(moved[0], labels[0])
    same(pairwise_loss(embedding, labels, grouping=grouping), expected)


def test_a_grouping_of_no_steps_changes_nothing():
    embedding, labels = drawn(seed=11)
    loss = pairwise_loss(embedding, labels, grouping=MeanShift(steps=0))
    same(loss, pairwise_loss(embedding, labels))


def test_void_pixels_do_not_attract_others_in_the_grouping():
    embedding, labels = drawn(seed=12)
    grouping = MeanShift(concentration=5.0, steps=2, kernel_radius=4.0)
    moved = embedding.clone()
    moved[:, :, labels[0] == -1] = 1.0
    same(
        pairwise_loss(moved, labels, grouping=grouping),
        pairwise_loss(embedding, labels, grouping=grouping),
    )


# --- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "shift"),
    [
        ({}, None),
        ({"margin": 0.1, "negative_weight": 5.0, "background": False}, None),
        ({"margin": 0.1, "repulsion_radius": 2.1}, None),
        ({}, {"steps": 2}),
        ({"repulsion_radius": 3.0}, {"steps": 1, "kernel_radius": 4.0}),
        ({}, {"steps": 2, "eta": 0.4, "recompute": True}),
    ],
)
def test_the_gradient_agrees_with_finite_differences(settings, shift):
    embedding, labels = drawn(seed=13, size=(3, 4), batch=2)
    grouping = None if shift is None else MeanShift(concentration=4.0, **shift)

    def loss(x):
        return pairwise_loss(x, labels, grouping=grouping, **settings)

    assert torch.autograd.gradcheck(loss, embedding.requires_grad_())


def test_the_gradient_in_blocks_is_that_of_the_whole_matrix():
    embedding, labels = drawn(seed=14, size=(40, 30))
    labels = labels.clamp(min=0).flatten()
    unit = torch.nn.functional.normalize(embedding[0].flatten(1), dim=0).T.requires_grad_()
    ours = torch.autograd.grad(sampled_pairwise_loss(unit, labels, unit), unit)[0]
    weight = 1 / (4 * torch.bincount(labels)[labels].double())
    similarity = 0.5 + 0.5 * unit @ unit.T
    alike = labels[:, None] == labels
    terms = torch.where(alike, 1 - similarity, (similarity - 0.5).relu())
    torch.testing.assert_close(ours, torch.autograd.grad(weight @ terms @ weight, unit)[0])


def test_void_pixels_get_no_gradient():
    embedding, labels = drawn(seed=15)
    pairwise_loss(embedding.requires_grad_(), labels, margin=0.1).backward()
    assert embedding.grad[:, :, labels[0] == -1].eq(0).all()
    assert embedding.grad[:, :, labels[0] >= 0].ne(0).any(1).all()


@pytest.mark.parametrize("grouping", [None, MeanShift(steps=2)])
@pytest.mark.parametrize("everywhere", [True, False])
def test_zero_vectors_give_a_finite_loss_and_gradient(everywhere, grouping):
    embedding, labels = drawn(seed=16)
    embedding[:, :, 0] = 0
    embedding = (embedding * 0 if everywhere else embedding).requires_grad_()
    loss = pairwise_loss(embedding, labels, grouping=grouping)
    loss.backward()
    assert loss.isfinite()
    assert embedding.grad.isfinite().all()


def test_a_descent_along_the_gradient_separates_the_groups():
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 3, 6, 6, generator=generator).requires_grad_()
    labels = (torch.arange(36) % 3).reshape(1, 6, 6)
    optimiser = torch.optim.Adam([embedding], lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        loss = pairwise_loss(embedding, labels, margin=0.5)
        loss.backward()
        optimiser.step()
    assert loss.item() < 1e-3


# --- precision, input, the Module --------------------------------------------------------------


@pytest.mark.parametrize("grouping", [None, MeanShift(steps=1)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_worked_in_float32(dtype, grouping):
    embedding, labels = drawn(seed=17, dimensions=16)
    half = embedding.to(dtype).requires_grad_()
    single = half.detach().float().requires_grad_()
    loss, expected = (pairwise_loss(x, labels, grouping=grouping) for x in (half, single))
    loss.backward()
    expected.backward()
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    assert half.grad.dtype == dtype
    torch.testing.assert_close(half.grad, single.grad.to(dtype))


def test_autocast_does_not_lower_the_precision():
    embedding, labels = drawn(seed=18, dimensions=16)
    embedding = embedding.float()
    grouping = MeanShift(steps=1)
    expected = pairwise_loss(embedding, labels, grouping=grouping)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = pairwise_loss(embedding, labels, grouping=grouping)
    assert torch.equal(loss, expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_labels_of_any_integer_type_are_taken(dtype):
    embedding, labels = drawn(seed=19)
    labels = labels.clamp(min=0)
    same(pairwise_loss(embedding, labels.to(dtype)), pairwise_loss(embedding, labels))


@pytest.mark.parametrize(
    ("embedding", "labels"),
    [
        ((1, 3, 4, 5), (1, 5, 4)),
        ((2, 3, 4, 5), (1, 4, 5)),
        ((1, 3, 4, 5), (4, 5)),
        ((4, 5), (4, 5)),
        ((1, 3, 4, 5), (1, 1, 4, 5)),
    ],
)
def test_shapes_that_do_not_fit_are_told_in_one_line(embedding, labels):
    with pytest.raises(CongealError, match=r"expected embedding \(B, D, \*S\)") as error:
        pairwise_loss(torch.ones(embedding), torch.ones(labels, dtype=torch.int64))
    assert str(labels) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_labels_that_are_not_integers_are_refused(dtype):
    with pytest.raises(CongealError, match="integer type"):
        pairwise_loss(torch.ones(1, 3, 4, 5), torch.ones(1, 4, 5, dtype=dtype))


@pytest.mark.parametrize("margin", [-0.1, 1.0])
def test_a_margin_outside_its_range_is_refused(margin):
    embedding, labels = drawn()
    with pytest.raises(CongealError, match="expected a margin"):
        pairwise_loss(embedding, labels, margin=margin)


def test_the_module_is_the_function():
    embedding, labels = drawn(seed=20, size=(6, 6))
    settings = {
        "margin": 0.2,
        "negative_weight": 3.0,
        "samples": 20,
        "sampling": "balanced",
        "background": False,
        "repulsion_radius": 4.0,
        "grouping": MeanShift(steps=1),
    }
    module, function = PairwiseLoss(**settings), pairwise_loss
    same(
        module(embedding, labels, torch.Generator().manual_seed(1)),
        function(embedding, labels, generator=torch.Generator().manual_seed(1), **settings),
    )


def test_a_learnable_grouping_is_a_parameter_of_the_module():
    loss = PairwiseLoss(grouping=MeanShift(steps=1, learnable=True))
    embedding, labels = drawn(seed=21)
    loss(embedding, labels).backward()
    (parameter,) = loss.parameters()
    assert parameter.grad is not None
    assert parameter.grad != 0
