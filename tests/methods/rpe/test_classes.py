import torch
from torch.nn import functional

from congeal import RPE
from congeal.data.batch import Batch
from congeal.methods.method import MapPrediction
from congeal.methods.rpe.classes import object_class_loss, pixel_class_loss, pooled_classes
from congeal.networks.heads import ObjectHead

NAMES = {"class_names": ("disc", "square"), "dimensions": 4}


def objects():
    """Features, labels and classes of two images with three objects, one of no class."""
    torch.manual_seed(0)
    labels = torch.tensor([[[1, 1, 0, 2]], [[3, 3, 3, -1]]])
    semantic = torch.tensor([[[2, 2, 0, 1]], [[-1, -1, -1, -1]]])
    return torch.randn(2, 3, 1, 4), labels, semantic


def test_the_loss_of_objects_is_the_mean_over_those_with_a_class():
    x, labels, semantic = objects()
    head = ObjectHead(3, classes=2)
    first = head.decide(torch.cat([x[0, :, 0, :2].mean(1), x[0, :, 0, :2].amax(1)]))
    second = head.decide(torch.cat([x[0, :, 0, 3], x[0, :, 0, 3]]))
    expected = functional.cross_entropy(torch.stack([first, second]), torch.tensor([1, 0]))
    torch.testing.assert_close(object_class_loss(head, x, labels, semantic), expected)


def test_without_objects_both_losses_are_zero():
    nothing = torch.zeros(1, 2, 2, dtype=torch.long)
    assert object_class_loss(ObjectHead(3, 2), torch.zeros(1, 3, 2, 2), nothing, nothing) == 0
    assert pixel_class_loss(torch.zeros(1, 3, 2, 2), nothing) == 0


def test_pixels_of_rare_classes_weigh_as_much_as_those_of_others():
    logits, semantic = torch.randn(1, 4, 1, 4), torch.tensor([[[1, 1, 1, 3]]])
    entropy = functional.cross_entropy(logits[:, 1:], semantic - 1, reduction="none")[0, 0]
    expected = (entropy[:3].mean() + entropy[3]) / 2
    torch.testing.assert_close(pixel_class_loss(logits, semantic), expected)


def test_orientations_are_averaged_and_objects_off_the_grid_keep_their_vote():
    head = ObjectHead(2, classes=3).requires_grad_(False)
    features = torch.randn(4, 2, 2)  # two orientations
    labels = torch.tensor([[0, 1], [3, 3]])
    found = pooled_classes(head, features, labels, torch.tensor([2, 2, 2]))
    both = [head(part[None], labels[None])[0].softmax(1) for part in features.split(2)]
    assert found[[0, 2]].tolist() == (sum(both).argmax(1) + 1).tolist()
    assert found[1] == 2


def test_the_head_decides_on_the_class_of_a_decoded_object():
    model = RPE(**NAMES, min_area=1, coordinates="none").eval()
    embedding = torch.zeros(4, 8, 8)
    embedding[0] = 1
    semantic = torch.zeros(3, 16, 16)
    semantic[1] = 9.0  # every pixel votes for a disc
    maps = {"embedding": embedding, "semantic": semantic, "touching": torch.zeros(1, 16, 16) - 9}
    channels = model.network.decoder.channels
    with torch.no_grad():
        model.classify.decide[2].bias.copy_(torch.tensor([-50.0, 50.0]))
    features = {"features": torch.zeros(channels, 8, 8)}
    assert model.decode(MapPrediction(maps, (16, 16), 2)).classes.tolist() == [1]
    assert model.decode(MapPrediction(maps | features, (16, 16), 2)).classes.tolist() == [2]


def test_models_of_before_vote_and_load():
    settings = RPE(**NAMES, classifier="vote").settings
    del settings["network"]["classifier"]
    old = RPE.from_settings(settings)
    assert old.config.network.classifier == "vote"
    assert not any(name.startswith("classify") for name in old.state_dict())
    assert RPE.from_settings(RPE(**NAMES).settings).pools_classes


def test_one_class_needs_no_head():
    model = RPE(dimensions=4)
    assert not model.pools_classes
    batch = Batch(torch.rand(2, 3, 64, 64), *2 * [torch.ones(2, 64, 64, dtype=torch.long)])
    assert "classes" not in model.losses(batch)
