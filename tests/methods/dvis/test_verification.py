import pytest
import torch
from torch.nn import functional

from congeal.methods.dvis.verification import (
    VerificationNetwork,
    VerificationOutput,
    VerificationTargets,
    pool_masks,
    verification_losses,
    verification_targets,
)

# Two objects of classes 2 and 1 in a row of 20 pixels, with void at the end.
LABELS = torch.tensor([[1] * 8 + [2] * 4 + [0] * 6 + [-1] * 2])
SEMANTIC = torch.tensor([[2] * 8 + [1] * 4 + [0] * 6 + [-1] * 2])


def span(*pairs):
    masks = torch.zeros(len(pairs), 1, 20, dtype=torch.bool)
    for mask, (start, stop) in zip(masks, pairs, strict=True):
        mask[0, start:stop] = True
    return masks


def test_a_candidate_takes_iou_and_class_of_the_object_it_overlaps_most():
    found = verification_targets(span((0, 8), (0, 4), (6, 12)), LABELS, SEMANTIC)
    assert found.iou.tolist() == pytest.approx([1, 0.5, 4 / 6])
    assert found.classes.tolist() == [2, 2, 1]


def test_little_overlap_is_background_and_what_is_between_takes_no_part():
    found = verification_targets(span((7, 8), (11, 18), (7, 18), (12, 18)), LABELS, SEMANTIC)
    assert found.iou.tolist() == pytest.approx([1 / 8, 1 / 10, 4 / 11, 0])
    assert found.classes.tolist() == [-1, -1, 1, -1]
    few = verification_targets(span((11, 18)), LABELS, SEMANTIC, negative_iou=0.11)
    assert few.classes.tolist() == [0]


def test_void_counts_nowhere():
    found = verification_targets(span((0, 20), (18, 20)), LABELS, SEMANTIC)
    assert found.iou.tolist() == pytest.approx([8 / 18, 0])


def test_without_objects_or_classes_targets_are_open():
    nothing = verification_targets(span((0, 3)), torch.zeros_like(LABELS), SEMANTIC)
    assert (nothing.iou.tolist(), nothing.classes.tolist()) == ([0], [-1])
    unknown = verification_targets(span((0, 8)), LABELS, torch.full_like(SEMANTIC, -1))
    assert (unknown.iou.tolist(), unknown.classes.tolist()) == ([1], [-1])
    alike = verification_targets(span((0, 8)), LABELS)
    assert alike.classes.tolist() == [1]


def test_the_losses_are_cross_entropy_of_what_takes_part_and_huber_of_iou():
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    said = VerificationOutput(logits, torch.tensor([0.95, 0.2, 0.0]))
    target = VerificationTargets(torch.tensor([1.0, 0.6, 0.0]), torch.tensor([2, -1, 0]))
    found = verification_losses(said, target, theta=0.1)
    expected = functional.cross_entropy(logits[[0, 2]], torch.tensor([2, 0]))
    assert float(found["class"]) == pytest.approx(float(expected))
    assert float(found["iou"]) == pytest.approx((0.05**2 / 0.2 + 0.4 - 0.05) / 3, rel=1e-5)


def test_with_one_class_only_the_iou_learns_and_scores():
    said = VerificationOutput(torch.randn(2, 2), torch.tensor([0.3, 1.7]))
    target = VerificationTargets(torch.tensor([1.0, 0.6]), torch.tensor([1, 1]))
    assert float(verification_losses(said, target)["class"]) == 0
    scores, classes = said.scores(0.25)
    assert scores.tolist() == pytest.approx([0.3, 1.0])
    assert classes.tolist() == [1, 1]


def test_the_score_mixes_iou_and_class():
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.7]]))
    scores, classes = VerificationOutput(logits, torch.tensor([0.5])).scores(0.25)
    assert float(scores) == pytest.approx(0.25 * 0.5 + 0.75 * 0.7)
    assert classes.tolist() == [2]


def network(**options):
    torch.manual_seed(0)
    return VerificationNetwork(4, classes=2, width=16, **options)


def test_pooling_after_the_first_layer_is_the_layer_after_pooling():
    """The 1 x 1 convolution of features joined with the mask, written out."""
    from torchvision.ops import roi_align

    net = network()
    features = torch.randn(1, 4, 10, 12, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 20, 24, dtype=torch.bool)
    mask[0, 4:12, 6:18] = True
    box = torch.tensor([[0, 6.0, 4, 18, 12]])
    pooled = roi_align(features, box, 14, 0.5, 1, aligned=True)
    shape = roi_align(mask[None].float(), box, 14, 1.0, 2, aligned=True)
    weight = torch.cat([net.project.weight, net.join.weight], 1)
    joined = functional.conv2d(torch.cat([pooled, shape], 1), weight, net.join.bias)
    x = net.layers(functional.relu(net.norm(joined)))
    said = net(net.project(features), mask, 0.5)
    assert torch.allclose(said.logits, net.classify(x), atol=1e-5)
    assert torch.allclose(said.iou, net.cover(x)[:, 0].relu(), atol=1e-5)


def test_boxes_hold_their_masks_and_grow_by_the_margin():
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 2:4, 3:7] = True
    assert network().boxes(mask).tolist() == [[3, 2, 7, 4]]
    assert network(box_margin=0.5).boxes(mask).tolist() == [[1, 1, 9, 5]]


def test_candidates_of_one_pixel_and_none_at_all_are_judged():
    net, projected = network(), torch.zeros(1, 16, 2, 2)
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, 3, 3] = masks[1, 0, 0] = True
    said = net(projected, masks, 0.5)
    assert said.logits.isfinite().all()
    assert said.iou.isfinite().all()
    assert net(projected, masks[:0], 0.5).logits.shape == (0, 3)


def test_the_verdict_on_a_candidate_does_not_depend_on_the_others():
    net = network()
    projected = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(2))
    masks = torch.rand(200, 8, 8, generator=torch.Generator().manual_seed(3)) < 0.5
    together, alone = net(projected, masks, 0.5), net(projected, masks[150:151], 0.5)
    assert torch.allclose(together.logits[150], alone.logits[0], atol=1e-5)


def test_candidates_of_several_images_are_verified_as_those_of_each():
    net = network()
    projected = torch.randn(2, 16, 4, 4, generator=torch.Generator().manual_seed(2))
    masks = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(3)) < 0.5
    together = net(projected, masks, 0.5, torch.tensor([0, 1, 1]))
    first, second = net(projected[:1], masks[:1], 0.5), net(projected[1:], masks[1:], 0.5)
    assert torch.allclose(together.logits, torch.cat([first.logits, second.logits]), atol=1e-5)
    assert torch.allclose(together.iou, torch.cat([first.iou, second.iou]), atol=1e-5)


def test_pooling_over_a_mask_takes_its_cells_alone():
    generator = torch.Generator().manual_seed(0)
    x, shape = torch.randn(3, 5, 4, 4, generator=generator), torch.zeros(3, 1, 4, 4)
    shape[0, 0, :2], shape[1, 0, 1, 1:], shape[2, 0, 3, 3] = 1.0, 0.8, 0.01
    pooled = pool_masks(x, shape)
    for row in range(3):
        inside = x[row][:, shape[row, 0] > 0]
        assert torch.allclose(pooled[row], torch.cat([inside.mean(1), inside.amax(1)]))
