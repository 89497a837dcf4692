"""What the variational loss must not depend on, over drawn cases."""

from __future__ import annotations

import torch
from cases.variational_cases import SMALL, drawn, same
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.losses import permutation_term, variational_loss

few = settings(deadline=None, max_examples=20)


@st.composite
def images(draw):
    """``(1, 1, H, W)`` values and labels of at most 25 pixels."""
    size = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return drawn(
        seed=draw(st.integers(0, 10**6)), size=size, objects=draw(st.integers(0, 4)), batch=1
    )


@given(images(), st.permutations(list(range(1, 9))))
@few
def test_the_numbers_of_the_objects_do_not_matter(image, numbers):
    values, labels = image
    table = torch.tensor([-1, 0, *numbers])
    same(variational_loss(values, table[labels + 1]), variational_loss(values, labels))


@given(images(), st.tuples(*[st.integers(0, 3)] * 4))
@few
def test_padding_by_void_does_not_matter(image, pad):
    values, labels = image
    padded = torch.nn.functional.pad(values, pad, value=5.0)
    void = torch.nn.functional.pad(labels, pad, value=-1)
    same(variational_loss(padded, void), variational_loss(values, labels))


@given(images(), st.floats(1, 10))
@few
def test_a_shift_of_all_positive_values_does_not_matter_to_the_pairs(image, shift):
    values, labels = image[0].abs(), image[1]
    same(permutation_term(values + shift, labels), permutation_term(values, labels))


@given(images())
@few
def test_turning_the_image_by_a_quarter_does_not_matter_to_the_pairs(image):
    values, labels = image
    turned = permutation_term(values.rot90(1, (-2, -1)), labels.rot90(1, (-2, -1)), **SMALL)
    same(turned, permutation_term(values, labels, **SMALL))


@given(images())
@few
def test_transposing_the_image_does_not_matter(image):
    values, labels = image
    same(variational_loss(values.mT, labels.mT), variational_loss(values, labels))


def test_the_loss_of_a_batch_is_the_mean_over_its_images():
    values, labels = drawn(seed=9, batch=3)
    labels[1] = -1
    single = [variational_loss(v[None], y[None]) for v, y in zip(values, labels, strict=True)]
    same(variational_loss(values, labels), torch.stack(single).mean())
