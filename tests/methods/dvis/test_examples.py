import torch

from congeal.methods.dvis.candidates import mask_iou
from congeal.methods.dvis.examples import draw_candidates, shift_masks, true_masks


def squares(*corners, side=4, size=20):
    masks = torch.zeros(len(corners), size, size, dtype=torch.bool)
    for mask, (top, left) in zip(masks, corners, strict=True):
        mask[top : top + side, left : left + side] = True
    return masks


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_half_of_the_candidates_drawn_overlap_an_object_however_many_fragments_there_are():
    truth = squares((0, 0), (0, 10))
    fragments = squares(*((row, column) for row in (8, 12, 16) for column in (0, 4, 8, 12, 16)))
    masks = torch.cat([fragments, truth, squares((0, 1), (1, 10))])
    for seed in range(5):
        drawn = draw_candidates(masks, truth, 6, generator=seeded(seed))
        assert len(drawn) == 6
        assert int((mask_iou(drawn, truth).amax(1) >= 0.2).sum()) == 3


def test_where_one_kind_is_lacking_the_other_fills_up():
    truth = squares((0, 0))
    fragments = squares((8, 0), (8, 8), (16, 16))
    assert len(draw_candidates(fragments, truth, 2)) == 2
    assert len(draw_candidates(truth.repeat(5, 1, 1), truth, 4)) == 4
    assert len(draw_candidates(torch.cat([fragments, truth]), truth, 3)) == 3
    assert len(draw_candidates(fragments, truth[:0], 2)) == 2
    assert len(draw_candidates(truth[:0], truth, 2)) == 0


def test_shifted_masks_have_every_iou_from_that_of_the_share_to_one():
    masks = squares(*[(8, 8)] * 200)
    moved = shift_masks(masks, 0.5, seeded())
    assert torch.equal(moved[::2], masks[::2])
    iou = mask_iou(moved[1::2], masks[:1])[:, 0]
    # by up to 2 of 4 px along both axes: 4 pixels shared of 28
    assert 1 / 7 <= iou.min() < 0.3
    assert iou.max() == 1
    assert 0.4 < iou.mean() < 0.8


def test_a_mask_is_never_shifted_out_of_the_map():
    masks = squares(*[(0, 0)] * 50, side=1, size=1)
    assert shift_masks(masks, 1.0, seeded()).all()
    corner = squares(*[(0, 0)] * 50, side=2, size=3)
    assert shift_masks(corner, 1.0, seeded()).flatten(1).any(1).all()


def test_true_masks_are_those_of_the_objects_alone():
    assert len(true_masks(torch.tensor([[-1, 0]]))) == 0
    assert true_masks(torch.tensor([[3, 3, 0, 9]])).sum((1, 2)).tolist() == [2, 1]
