"""The discriminative loss against its three equations written out in float64."""

from __future__ import annotations

import math

import pytest
import torch
from cases.discriminative_cases import drawn

from congeal.errors import CongealError
from congeal.losses import DiscriminativeLoss, discriminative_loss, discriminative_terms

ZERO = torch.zeros((), dtype=torch.float64)


def distance(x):
    return x.square().sum().sqrt() if x.any() else x.sum() * 0


def naive_space(objects, delta_v, delta_d):
    """The three terms of one space: a list of objects, each a list of vectors."""
    if not objects:
        return [ZERO] * 3
    means = [sum(pixels) / len(pixels) for pixels in objects]
    variance = [
        sum((distance(mean - x) - delta_v).relu() ** 2 for x in pixels) / len(pixels)
        for mean, pixels in zip(means, objects, strict=True)
    ]
    pairs = [
        (2 * delta_d - distance(a - b)).relu() ** 2
        for i, a in enumerate(means)
        for j, b in enumerate(means)
        if i != j
    ]
    count = len(objects)
    return [
        sum(variance) / count,
        sum(pairs, ZERO) / max(count * (count - 1), 1),
        sum(distance(mean) for mean in means) / count,
    ]


def naive_terms(embedding, labels, *, delta_v=0.5, delta_d=1.5, semantic=None, classes=None):
    """The three terms of a batch: the mean over images of the mean over their classes."""
    totals = [ZERO] * 3
    for b, one in enumerate(embedding.double()):
        spaces = {}  # class -> label -> vectors
        for place in (labels[b] > 0).nonzero().tolist():
            kind = 1 if semantic is None else int(semantic[(b, *place)])
            if kind > 0:
                x = one[(slice(None), *place)]
                if classes is not None:
                    x = x.reshape(classes, -1)[kind - 1]
                label = int(labels[(b, *place)])
                spaces.setdefault(kind, {}).setdefault(label, []).append(x)
        for objects in spaces.values():
            terms = naive_space(list(objects.values()), delta_v, delta_d)
            scale = len(spaces) * len(embedding)
            totals = [total + t / scale for total, t in zip(totals, terms, strict=True)]
    return totals


def naive_loss(embedding, labels, weights=(1.0, 1.0, 0.001), **how):
    terms = naive_terms(embedding, labels, **how)
    return sum(w * t for w, t in zip(weights, terms, strict=True))


def same(loss, expected, tolerance=1e-12):
    torch.testing.assert_close(loss, torch.as_tensor(expected), atol=tolerance, rtol=tolerance)


# --- the value ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("delta_v", "delta_d"), [(0.5, 1.5), (0.0, 0.0), (2.0, 0.3), (0.1, 5)])
def test_the_terms_are_those_of_the_paper(delta_v, delta_d):
    embedding, labels, _ = drawn()
    how = {"delta_v": delta_v, "delta_d": delta_d}
    for term, expected in zip(
        discriminative_terms(embedding, labels, **how),
        naive_terms(embedding, labels, **how),
        strict=True,
    ):
        same(term, expected)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    embedding, labels, _ = drawn(seed=1)
    same(discriminative_loss(embedding, labels), naive_loss(embedding, labels))
    weights = {"variance_weight": 2.0, "distance_weight": 3.0, "regular_weight": 0.5}
    loss = discriminative_loss(embedding, labels, **weights)
    same(loss, naive_loss(embedding, labels, (2.0, 3.0, 0.5)))


def test_images_with_three_dimensions_are_taken():
    embedding, labels, _ = drawn(seed=2, size=(2, 3, 3), dimensions=5)
    same(discriminative_loss(embedding, labels), naive_loss(embedding, labels))


def test_objects_of_different_classes_need_not_be_apart():
    embedding, labels, semantic = drawn(seed=3)
    loss = discriminative_loss(embedding, labels, semantic=semantic)
    same(loss, naive_loss(embedding, labels, semantic=semantic))


@pytest.mark.parametrize("classes", [2, 3])
def test_each_class_reads_its_own_block_of_channels(classes):
    embedding, labels, semantic = drawn(seed=4, dimensions=12)
    how = {"semantic": semantic, "classes": classes}
    same(discriminative_loss(embedding, labels, **how), naive_loss(embedding, labels, **how))


def test_one_class_is_the_loss_without_classes():
    embedding, labels, _ = drawn(seed=5)
    semantic = torch.ones_like(labels)
    expected = discriminative_loss(embedding, labels)
    same(discriminative_loss(embedding, labels, semantic=semantic), expected)
    same(discriminative_loss(embedding, labels, semantic=semantic, classes=1), expected)


def test_a_class_does_not_see_the_blocks_of_the_others():
    embedding, labels, semantic = drawn(seed=6, dimensions=4)
    embedding.requires_grad_()
    discriminative_loss(embedding, labels, semantic=semantic, classes=2, delta_v=0.0).backward()
    first, second = (
        embedding.grad.unflatten(1, (2, 2)).movedim(2, -1).ne(0).any(-1).unbind(1)
    )  # (B, H, W) each
    assert torch.equal(first, (labels > 0) & (semantic == 1))
    assert torch.equal(second, (labels > 0) & (semantic == 2))


def test_an_image_of_one_object_has_no_distance_term():
    embedding, _, _ = drawn(seed=7)
    labels = torch.full((2, 3, 4), 9)
    terms = discriminative_terms(embedding, labels)
    assert terms.distance == 0
    for term, expected in zip(terms, naive_terms(embedding, labels), strict=True):
        same(term, expected)


def test_objects_count_the_same_whatever_their_size():
    """A pixel 2 away from the mean of its pair costs as much beside one pixel as beside thirty."""
    for count in (1, 30):
        embedding = torch.tensor([[[0.0, 4.0] + [9.0] * count]])
        labels = torch.tensor([[1, 1] + [2] * count])
        terms = discriminative_terms(embedding, labels)
        assert terms.variance.item() == pytest.approx(1.5**2 / 2)


def test_tight_objects_far_apart_cost_only_their_distance_from_the_origin():
    labels = 1 + torch.arange(12).reshape(1, 3, 4) % 3
    embedding = torch.eye(3)[labels - 1].movedim(-1, 1) * 3
    terms = discriminative_terms(embedding, labels)
    assert [term.item() for term in terms] == [0, 0, 3]


def test_a_thousand_objects_are_taken():
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 4, 40, 50, generator=generator, dtype=torch.float64)
    labels = 1 + torch.arange(2000).reshape(1, 40, 50) % 1000
    embedding.requires_grad_()
    terms = discriminative_terms(embedding, labels)
    means = (embedding.flatten(2)[0, :, :1000] + embedding.flatten(2)[0, :, 1000:]).T / 2
    apart = (3 - torch.nn.functional.pdist(means)).relu().square().mean()
    same(terms.distance, apart, 1e-10)
    sum(terms).backward()
    assert embedding.grad.isfinite().all()


# --- nothing to learn from ---------------------------------------------------------------------


@pytest.mark.parametrize("classes", [None, 2])
@pytest.mark.parametrize("nothing", ["void", "background", "void class", "background class"])
def test_images_without_an_object_give_zero_with_zero_gradient(nothing, classes):
    embedding, labels, semantic = drawn(seed=8)
    if "class" in nothing:
        semantic = torch.full_like(semantic, -1 if "void" in nothing else 0)
    else:
        labels = torch.full_like(labels, -1 if nothing == "void" else 0)
    for which in (None, 0, 1, 2):
        given = embedding.clone().requires_grad_()
        how = {"semantic": semantic, "classes": classes}
        loss = (
            discriminative_loss(given, labels, **how)
            if which is None
            else discriminative_terms(given, labels, **how)[which]
        )
        loss.backward()
        assert loss == 0
        assert given.grad.eq(0).all()


def test_an_image_of_background_still_counts_in_the_mean():
    embedding, labels, _ = drawn(seed=9)
    labels[1] = 0
    alone = discriminative_loss(embedding[:1], labels[:1])
    same(discriminative_loss(embedding, labels), alone / 2)


def test_a_batch_without_images_gives_zero():
    nothing = torch.ones(0, 4, 5, dtype=torch.int64)
    assert discriminative_loss(torch.ones(0, 3, 4, 5), nothing) == 0
    assert discriminative_loss(torch.ones(0, 4, 4, 5), nothing, semantic=nothing, classes=2) == 0


# --- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["plain", "shared", "blocks"])
def test_the_gradient_agrees_with_finite_differences(how):
    embedding, labels, semantic = drawn(seed=10, dimensions=4)
    given = {} if how == "plain" else {"semantic": semantic}
    given |= {"classes": 2} if how == "blocks" else {}

    def loss(x):
        return discriminative_loss(x, labels, delta_v=0.3, regular_weight=0.7, **given)

    assert torch.autograd.gradcheck(loss, embedding.requires_grad_())


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("delta_v", [0.0, 0.5])
def test_at_distance_zero_the_gradient_is_zero_and_finite(value, delta_v):
    """All pixels in one place: nothing to pull, and no direction to push in."""
    _, labels, _ = drawn(seed=11)
    embedding = torch.full((2, 2, 3, 4), value, requires_grad=True)
    loss = discriminative_loss(embedding, labels, delta_v=delta_v, regular_weight=0.0)
    loss.backward()
    assert loss.item() == pytest.approx(9.0)
    assert embedding.grad.eq(0).all()


def test_a_mean_at_the_origin_has_no_gradient():
    embedding = torch.zeros(1, 2, 3, 3, requires_grad=True)
    labels = torch.ones(1, 3, 3, dtype=torch.int64)
    discriminative_loss(embedding, labels, regular_weight=1.0).backward()
    assert embedding.grad.eq(0).all()


def test_pixels_outside_objects_get_no_gradient():
    embedding, labels, _ = drawn(seed=12)
    discriminative_loss(embedding.requires_grad_(), labels, delta_v=0.0).backward()
    gradient = embedding.grad.movedim(1, -1)
    assert gradient[labels <= 0].eq(0).all()
    assert gradient[labels > 0].ne(0).any(-1).all()


def test_pixels_outside_objects_that_are_not_numbers_change_nothing():
    embedding, labels, _ = drawn(seed=13)
    broken = torch.where((labels > 0)[:, None], embedding, torch.nan).requires_grad_()
    loss = discriminative_loss(broken, labels)
    loss.backward()
    same(loss, discriminative_loss(embedding, labels))
    assert broken.grad.isfinite().all()


def test_a_descent_along_the_gradient_separates_the_objects():
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 2, 6, 6, generator=generator).requires_grad_()
    labels = 1 + (torch.arange(36) % 4).reshape(1, 6, 6)
    optimiser = torch.optim.Adam([embedding], lr=0.1)
    for _ in range(100):
        optimiser.zero_grad()
        loss = discriminative_loss(embedding, labels, regular_weight=0.0)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.01


# --- precision, compilation, input, the Module -------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_worked_in_float32(dtype):
    embedding, labels, _ = drawn(seed=14, dimensions=16)
    half = embedding.to(dtype).requires_grad_()
    single = half.detach().float().requires_grad_()
    loss, expected = (discriminative_loss(x, labels) for x in (half, single))
    loss.backward()
    expected.backward()
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    torch.testing.assert_close(half.grad, single.grad.to(dtype))


def test_autocast_does_not_lower_the_precision():
    embedding, labels, _ = drawn(seed=15, dimensions=16)
    embedding = embedding.float()
    expected = discriminative_loss(embedding, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = discriminative_loss(embedding, labels)
    assert torch.equal(loss, expected)


def test_a_compiled_loss_is_the_loss():
    embedding, labels, semantic = drawn(seed=16)
    embedding.requires_grad_()
    compiled = torch.compile(discriminative_loss, backend="aot_eager")
    loss, expected = (
        f(embedding, labels, semantic=semantic) for f in (compiled, discriminative_loss)
    )
    same(loss, expected)
    same(*(torch.autograd.grad(x, embedding)[0] for x in (loss, expected)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_maps_of_any_integer_type_are_taken(dtype):
    embedding, labels, semantic = drawn(seed=17)
    labels, semantic = labels.clamp(min=0), semantic.clamp(min=0)
    loss = discriminative_loss(embedding, labels.to(dtype), semantic=semantic.to(dtype), classes=2)
    same(loss, discriminative_loss(embedding, labels, semantic=semantic, classes=2))


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((1, 5, 4), torch.int64, r"expected embedding \(B, D, \*S\) and labels \(B, \*S\)"),
        ((4, 5), torch.int64, r"expected embedding \(B, D, \*S\) and labels \(B, \*S\)"),
        ((1, 4, 5), torch.float32, "expected labels of an integer type"),
        ((1, 4, 5), torch.bool, "expected labels of an integer type"),
    ],
)
def test_labels_that_do_not_fit_are_told_in_one_line(shape, dtype, message):
    with pytest.raises(CongealError, match=message) as error:
        discriminative_loss(torch.ones(1, 3, 4, 5), torch.ones(shape, dtype=dtype))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"delta_v": -0.1}, "expected delta_v and delta_d of at least 0, got -0.1 and 1.5"),
        ({"delta_d": math.nan}, "expected delta_v and delta_d of at least 0, got 0.5 and nan"),
        ({"classes": 2}, "expected a semantic map for 2 classes, got none"),
        ({"classes": 4, "semantic": 1}, "expected channels that 4 classes share equally, got 6"),
        ({"classes": 0, "semantic": 1}, "expected channels that 0 classes share equally, got 6"),
        ({"classes": 2, "semantic": 3}, "expected objects of class 1 to 2, got class 3"),
    ],
)
def test_values_outside_their_range_are_refused(how, message):
    labels = torch.ones(1, 4, 5, dtype=torch.int64)
    if "semantic" in how:
        how = how | {"semantic": labels * how["semantic"]}
    with pytest.raises(CongealError, match=message):
        discriminative_loss(torch.ones(1, 6, 4, 5), labels, **how)


def test_a_class_out_of_range_does_no_harm_outside_objects():
    embedding, labels, semantic = drawn(seed=18)
    far = torch.where(labels > 0, semantic, 200)
    how = {"classes": 2}
    loss = discriminative_loss(embedding, labels, semantic=far, **how)
    same(loss, discriminative_loss(embedding, labels, semantic=semantic, **how))


def test_the_module_is_the_function():
    embedding, labels, semantic = drawn(seed=19)
    how = {
        "delta_v": 0.2,
        "delta_d": 0.9,
        "variance_weight": 2.0,
        "distance_weight": 3.0,
        "regular_weight": 0.1,
        "classes": 2,
    }
    loss = DiscriminativeLoss(**how)(embedding, labels, semantic)
    assert torch.equal(loss, discriminative_loss(embedding, labels, semantic=semantic, **how))
