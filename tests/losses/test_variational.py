"""The variational loss against its definition, pixel by pixel and pair by pair in float64."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from cases.variational_cases import SMALL, drawn, same

from congeal.errors import CongealError
from congeal.losses import (
    VariationalLoss,
    binary_term,
    huber,
    mumford_shah_term,
    permutation_term,
    quantisation_term,
    variational_loss,
    variational_terms,
)

TERMS = (binary_term, permutation_term, mumford_shah_term, quantisation_term)


def h(v, theta=0.1):
    return v * v / (2 * theta) if v < theta else v - theta / 2


def naive_terms(f, labels, *, m1=2.0, m2=1.0, theta=0.1, window=129, centre=8, dilation=8):
    """The four terms of one image ``(*S)``, by loops over its pixels and pairs."""
    places = list(product(*map(range, f.shape)))
    known = [p for p in places if labels[p] >= 0]
    value = {p: float(f[p]) for p in places}
    binary = [h(max(m1 - value[p] if labels[p] > 0 else value[p], 0.0), theta) for p in known]
    pairs = []
    for p, q in product(places, places):
        step = tuple(b - a for a, b in zip(p, q, strict=True))
        near = sum(map(abs, step)) < centre
        apart = near or all(d % dilation == 0 for d in step) or sum(d != 0 for d in step) == 1
        if p == q or not apart or max(map(abs, step)) > window // 2:
            continue
        if labels[p] > 0 and labels[q] > 0:
            gap = abs(max(value[p], 0.0) - max(value[q], 0.0))
            pairs.append(h(gap if labels[p] == labels[q] else max(m2 - gap, 0.0), theta))
    cauchy = []
    for p in known:
        square = 0.0
        for axis in range(f.ndim):
            q = tuple(x + (i == axis) for i, x in enumerate(p))
            if q in value and labels[q] >= 0:
                square += (max(value[q], 0.0) - max(value[p], 0.0)) ** 2
        cauchy.append(math.log(square + 1))
    rounding = [abs(value[p] - round(value[p])) for p in known if value[p] > 0]
    return [sum(x) / len(x) if x else 0.0 for x in (binary, pairs, cauchy, rounding)]


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [0.1, 0.7])
def test_the_huber_loss_is_a_square_and_then_a_line(theta):
    v = torch.linspace(0, 3, 61, dtype=torch.float64)
    same(huber(v, theta), [h(float(x), theta) for x in v])


def test_the_huber_loss_has_no_step_at_theta():
    below, above = huber(torch.tensor([0.1 - 1e-9, 0.1 + 1e-9], dtype=torch.float64))
    assert float(above - below) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("size", [(9,), (5, 6), (3, 4, 3), (1, 4)])
@pytest.mark.parametrize("window", [SMALL, {}])
def test_every_term_is_its_definition(size, window):
    values, labels = drawn(size=size)
    terms = variational_terms(values, labels, **window)
    naive = [naive_terms(f, y, **window) for f, y in zip(values[:, 0], labels, strict=True)]
    expected = torch.tensor(naive, dtype=torch.float64).mean(0)
    same(torch.stack(terms[1:]), expected)
    same(terms.total, expected @ torch.tensor([10, 0.2, 0.1, 0.5], dtype=torch.float64))


def test_margins_and_theta_are_those_of_the_definition():
    values, labels = drawn(seed=1, batch=1)
    how = {"object_margin": 1.5, "margin": 0.6, "theta": 0.3}
    terms = variational_terms(values, labels, **how, **SMALL)
    expected = naive_terms(values[0, 0], labels[0], m1=1.5, m2=0.6, theta=0.3, **SMALL)
    same(torch.stack(terms[1:]), expected)


def test_the_loss_is_the_weighted_sum_of_the_terms():
    values, labels = drawn(seed=2)
    parts = [term(values, labels) for term in TERMS]
    weights = (1.0, 2.0, 3.0, 4.0)
    loss = variational_loss(values, labels, weights=weights)
    same(loss, sum(w * float(part) for w, part in zip(weights, parts, strict=True)))


@pytest.mark.parametrize("skipped", range(4))
def test_a_term_of_weight_zero_is_skipped(skipped):
    values, labels = drawn(seed=3)
    weights = [1.0] * 4
    weights[skipped] = 0.0
    terms = variational_terms(values, labels, weights=tuple(weights), **SMALL)
    assert terms[1 + skipped] == 0
    assert all(term > 0 for i, term in enumerate(terms[1:]) if i != skipped)


def test_a_perfect_map_costs_its_edges_only():
    labels = torch.tensor([[[0, 0, 1, 1, 2, 2]]])
    values = torch.tensor([0.0, 2.0, 3.0])[labels][:, None]
    terms = variational_terms(values, labels)
    assert (terms.binary, terms.permutation, terms.quantisation) == (0, 0, 0)
    assert float(terms.mumford_shah) == pytest.approx((math.log(5) + math.log(2)) / 6)


def test_background_below_zero_costs_nothing_and_objects_below_zero_are_pulled_up():
    values = torch.full((1, 1, 1, 2), -3.0, requires_grad=True)
    variational_loss(values, torch.tensor([[[0, 1]]])).backward()
    assert values.grad[0, 0, 0, 0] == 0
    assert values.grad[0, 0, 0, 1] < 0


def test_each_of_several_numbers_tells_objects_from_background():
    values, labels = drawn(seed=5)
    several = torch.cat([values, values.flip(0), -values], 1)  # (B, 3, *S)
    alone = [float(binary_term(several[:, c : c + 1], labels)) for c in range(3)]
    same(binary_term(several, labels), sum(alone) / 3)


def test_a_number_below_zero_on_objects_is_pulled_up_whatever_the_others_are():
    values = torch.tensor([[[[5.0]], [[-3.0]]]], requires_grad=True)
    variational_loss(values, torch.tensor([[[1]]])).backward()
    assert values.grad.flatten().tolist()[0] == 0
    assert values.grad.flatten().tolist()[1] < 0


def test_the_final_relu_is_applied_by_all_terms_but_the_binary():
    values, labels = drawn(seed=4)
    for term in TERMS[1:]:
        same(term(values.relu(), labels), term(values, labels))
    assert binary_term(values.relu(), labels) < binary_term(values, labels)


# --- pairs -------------------------------------------------------------------------------------


def test_many_random_pairs_come_close_to_all_pairs():
    values, labels = drawn(seed=5, size=(6, 6), batch=1)
    everything = permutation_term(values, labels, window=13, dilation=1)
    generator = torch.Generator().manual_seed(0)
    drawn_pairs = permutation_term(
        values, labels, pairs="random", count=200_000, generator=generator
    )
    assert float(drawn_pairs) == pytest.approx(float(everything), rel=0.02)


def test_random_pairs_of_different_objects_push_apart():
    """Calling every pair the same, as the public code does, would give no cost here."""
    values = torch.full((1, 1, 2, 4), 2.0)
    labels = torch.tensor([[[1, 1, 2, 2], [1, 1, 2, 2]]])
    loss = permutation_term(values, labels, pairs="random", count=5000)
    assert float(loss) == pytest.approx(0.95 * 4 / 7, rel=0.1)
    assert permutation_term(values, labels.clamp(max=1), pairs="random", count=5000) == 0


@pytest.mark.parametrize("pairs", ["window", "random"])
def test_different_objects_may_weigh_more(pairs):
    values, labels = torch.full((1, 1, 1, 2), 2.0), torch.tensor([[[1, 2]]])
    costs = [permutation_term(values, labels, pairs=pairs, different_weight=w) for w in (1, 3)]
    assert float(costs[1] / costs[0]) == pytest.approx(3)


# --- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 5), (2, 3, 3)])
@pytest.mark.parametrize("pairs", ["window", "random"])
def test_the_gradient_agrees_with_finite_differences(size, pairs):
    values, labels = drawn(seed=6, size=size)

    def loss(x):
        generator = torch.Generator().manual_seed(0)
        return variational_loss(
            x, labels, pairs=pairs, count=40, theta=0.3, generator=generator, **SMALL
        )

    assert torch.autograd.gradcheck(loss, values.requires_grad_())


def test_void_pixels_get_no_gradient_and_may_hold_anything():
    values, labels = drawn(seed=7)
    expected = variational_loss(values, labels)
    values[(labels < 0)[:, None]] = torch.nan
    values.requires_grad_()
    loss = variational_loss(values, labels)
    loss.backward()
    assert torch.equal(loss, expected)
    assert values.grad[(labels < 0)[:, None]].eq(0).all()
    assert values.grad.isfinite().all()


@pytest.mark.parametrize("pairs", ["window", "random"])
@pytest.mark.parametrize("label", [-1, 0])
def test_nothing_to_learn_from_gives_zero_with_zero_gradient(label, pairs):
    values = torch.full((2, 1, 3, 4), -1.0, requires_grad=True)
    loss = variational_loss(values, torch.full((2, 3, 4), label), pairs=pairs)
    loss.backward()
    assert loss == 0
    assert values.grad.eq(0).all()


def test_weights_of_zero_still_give_a_gradient():
    values, labels = drawn()
    values.requires_grad_()
    variational_loss(values, labels, weights=(0, 0, 0, 0)).backward()
    assert values.grad.eq(0).all()


@pytest.mark.parametrize("size", [(1, 1), (1,), (0, 3)])
def test_images_of_one_pixel_or_none_are_taken(size):
    values = torch.ones(1, 1, *size, requires_grad=True)
    loss = variational_loss(values, torch.ones(1, *size, dtype=torch.int64))
    loss.backward()
    assert loss.isfinite()
    assert values.grad.isfinite().all()


def test_a_batch_without_images_gives_zero():
    empty = torch.ones(0, 1, 4, 5), torch.ones(0, 4, 5, dtype=torch.int64)
    assert variational_loss(*empty) == 0
    assert variational_loss(*empty, pairs="random") == 0


def test_one_object_pays_for_its_own_spread_only():
    values, _ = drawn(seed=8, batch=1)
    labels = torch.ones(1, 5, 6, dtype=torch.int64)
    same(permutation_term(values, labels), naive_terms(values[0, 0], labels[0])[1])
    assert permutation_term(torch.full_like(values, 7.0), labels) == 0


def test_a_descent_along_the_gradient_tells_two_objects_apart():
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[0, 1:4, 1:7], labels[0, 5:7, 1:7] = 1, 2
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(1, 1, 8, 8, generator=generator).requires_grad_()
    optimiser = torch.optim.Adam([values], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        variational_loss(values, labels, weights=(10, 5, 0.1, 0), **SMALL).backward()
        optimiser.step()
    one, two = (values.detach()[0, 0][labels[0] == k] for k in (1, 2))
    assert one.std() < 0.1
    assert two.std() < 0.1
    assert (one.mean() - two.mean()).abs() > 0.8
    assert values.detach()[0, 0][labels[0] == 0].max() < 0.5


# --- precision, compilation, input, the Module -------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_worked_in_float32(dtype):
    values, labels = drawn(seed=10)
    half = values.to(dtype).requires_grad_()
    single = half.detach().float().requires_grad_()
    loss, expected = variational_loss(half, labels), variational_loss(single, labels)
    loss.backward()
    expected.backward()
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    torch.testing.assert_close(half.grad, single.grad.to(dtype))


def test_autocast_does_not_lower_the_precision():
    values, labels = drawn(seed=11)
    values = values.float()
    expected = variational_terms(values, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = variational_terms(values, labels)
        alone = [term(values, labels) for term in TERMS]
    assert all(torch.equal(a, b) for a, b in zip(terms, expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(alone, expected[1:], strict=True))


def test_it_runs_compiled():
    values, labels = drawn(seed=12)
    compiled = torch.compile(VariationalLoss(), backend="aot_eager")
    ours, theirs = (values.clone().requires_grad_() for _ in range(2))
    loss, expected = compiled(ours, labels), variational_loss(theirs, labels)
    loss.backward()
    expected.backward()
    same(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_labels_of_any_integer_type_are_taken(dtype):
    values, labels = drawn(seed=13)
    labels = labels.clamp(min=0)
    same(variational_loss(values, labels.to(dtype)), variational_loss(values, labels))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((1, 1, 4, 5), (1, 5, 4)),
        ((2, 1, 4, 5), (1, 4, 5)),
        ((1, 4, 5), (1, 4, 5)),
        ((4, 5), (4, 5)),
    ],
)
def test_shapes_that_do_not_fit_are_told_in_one_line(values, labels):
    for loss in (variational_loss, *TERMS):
        with pytest.raises(CongealError, match=r"expected values \(B, C, \*S\)") as error:
            loss(torch.ones(values), torch.ones(labels, dtype=torch.int64))
        assert str(labels) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "labels"), [(torch.int64, torch.int64), (torch.float32, torch.bool)]
)
def test_values_are_floats_and_labels_integers(values, labels):
    with pytest.raises(CongealError, match="expected"):
        variational_loss(torch.ones(1, 1, 2, 2, dtype=values), torch.ones(1, 2, 2, dtype=labels))


@pytest.mark.parametrize(
    "wrong", [{"theta": 0}, {"weights": (1, 1, 1, -1)}, {"pairs": "windw"}, {"window": 4}]
)
def test_settings_out_of_range_are_refused(wrong):
    values, labels = drawn()
    with pytest.raises(CongealError):
        variational_loss(values, labels, **wrong)


def test_the_module_is_the_function():
    values, labels = drawn(seed=14)
    how = {
        "weights": (1.0, 2.0, 3.0, 4.0),
        "object_margin": 1.5,
        "margin": 0.7,
        "theta": 0.2,
        "pairs": "random",
        "count": 50,
        "different_weight": 3.0,
    }
    module = VariationalLoss(**how)
    seeded = [torch.Generator().manual_seed(1) for _ in range(3)]
    loss = module(values, labels, seeded[0])
    same(loss, variational_loss(values, labels, generator=seeded[1], **how))
    same(module.terms(values, labels, seeded[2]).total, loss)
    assert list(module.parameters()) == []
