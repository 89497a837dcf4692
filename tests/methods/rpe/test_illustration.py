"""Pictures of an embedding and of the semantic map, and that the report page has them."""

import numpy as np
import torch
from cases.discs_and_squares import DiscsAndSquares
from cases.rpe_cases import EAGER, make

from congeal import evaluate
from congeal.figures.maps import overlay_classes
from congeal.methods.maps import MapPrediction
from congeal.methods.rpe.illustration import CLASS_TINT, draw_embedding, draw_steps
from congeal.sphere import normalise


def test_a_direction_has_one_colour_in_every_image_of_a_set():
    directions = normalise(torch.randn(8, 2, 1, generator=torch.Generator().manual_seed(0)), dim=0)
    one, other = (draw_embedding(directions[:, order]) for order in ([0, 0, 1], [1, 1, 0]))
    assert np.array_equal(one[0], other[2])
    assert np.array_equal(one[2], other[0])
    assert not np.array_equal(one[0], one[2])


def test_padding_is_cut_off_and_classes_lie_over_the_image():
    semantic = torch.zeros(3, 12, 12)
    semantic[2, :, 5:] = 1.0
    maps = MapPrediction({"embedding": torch.ones(4, 6, 6) / 2, "semantic": semantic}, (9, 10), 2)
    image = np.full((9, 10, 3), 100, np.uint8)
    (_, embedding), (_, drawn) = draw_steps(image, maps)
    assert embedding.shape == (5, 5, 3)
    classes = np.repeat([[0] * 5 + [2] * 5], 9, 0)
    assert np.array_equal(drawn, overlay_classes(image, classes, CLASS_TINT))


def test_the_report_shows_embedding_and_semantic_map_beside_the_objects(tmp_path):
    data = DiscsAndSquares("test", 1)
    found = evaluate(make(**EAGER, class_names=("disc", "square")), data, output=tmp_path)
    assert [title for title, _ in found.examples[0].steps] == ["embedding", "semantic map"]
    page = (tmp_path / "report.html").read_text()
    assert "semantic map" in page
