"""SegSort through training and prediction."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from congeal.data.batch import Batch
from congeal.data.sample import Dataset, Sample
from congeal.data.view import pixel_locations
from congeal.errors import CongealError
from congeal.losses import vmf_n_loss
from congeal.methods.index import Indexed
from congeal.methods.rpe import RPE
from congeal.methods.segsort import SegSort
from congeal.models import load, save_model

NAMES = ("road", "sky", "tree")


class Painted(Dataset):
    """Images whose red channel is 60 times the class of each pixel."""

    class_names = ("background", *NAMES)

    def __init__(self, *maps, names=None):
        self.name, self.split, self.maps = "painted", "train", maps
        self.said = names or [f"map-{place}" for place in range(len(maps))]

    def __len__(self):
        return len(self.maps)

    def __getitem__(self, index):
        classes = self.maps[index]  # IndexError past the end
        image = np.repeat(60 * classes.clip(0)[..., None], 3, 2).astype(np.uint8)
        return Sample(self.said[index], image, classes.clip(0), semantic=classes)

    def names(self):
        return list(self.said)


class Perfect(nn.Module):
    """Embeds the class that the brightness of a pixel tells as a direction of its own."""

    divisor = 1

    def __init__(self, stride):
        super().__init__()
        self.stride = stride
        self.encoder = nn.Conv2d(1, 1, 1)

    def forward(self, image):
        seen = image[:, :1, :: self.stride, :: self.stride]
        levels = torch.linspace(0, 1, 4).reshape(1, -1, 1, 1)
        return {"embedding": torch.exp(-100 * (seen - levels) ** 2)}


def perfect(**settings):
    told = {"dimensions": 4, "class_names": NAMES, "k": 3, "percentiles": (0.0, 100.0)}
    model = SegSort(**{**told, **settings}).eval()
    model.network = Perfect(model.config.network.stride)
    return model


def quarters(height=24, width=24, void=False):
    classes = np.zeros((height, width), np.int64)
    classes[: height // 2, width // 2 :] = 1
    classes[height // 2 :, : width // 2] = 2
    classes[height // 2 :, width // 2 :] = 3
    if void:
        classes[0] = -1
    return classes


def batch_of(classes, location=None):
    """A batch of maps ``(B, H, W)`` with noise for images."""
    classes = torch.as_tensor(classes)
    size = classes.shape[1:]
    noise = torch.rand(len(classes), 3, *size, generator=torch.Generator().manual_seed(1))
    place = pixel_locations(*size).expand(len(classes), -1, -1, -1)
    return Batch(
        noise, classes.clamp_min(0), classes, None, place if location is None else location
    )


def trainee(seed=0, **settings):
    torch.manual_seed(seed)
    return SegSort(**{"dimensions": 8, "class_names": NAMES, **settings}).train()


def loss_of(model, batch):
    (loss,) = model.losses(batch, generator=torch.Generator().manual_seed(0)).values()
    return loss


def test_perfect_embeddings_retrieve_their_classes():
    model = perfect()
    model.finish(Painted(quarters(), quarters(30, 40)))
    truth = np.fliplr(quarters(28, 36))
    result = model.segment(Painted(truth)[0].image)
    assert (result.semantic == truth).mean() > 0.9
    assert (result.semantic == truth)[::2, ::2].all()  # edges lie between the places of the map
    assert result.probabilities.shape == (4, 28, 36)
    assert np.allclose(result.probabilities.sum(0), 1)


def test_probabilities_are_shares_of_the_k_votes():
    model = perfect(k=2)
    model.finish(Painted(quarters()))
    shares = np.unique(model.segment(Painted(quarters())[0].image).probabilities)
    assert set(shares) <= {0.0, 0.5, 1.0}


def test_a_tie_of_votes_goes_to_the_smallest_class():
    model = perfect(k=2)
    model.finish(Painted(np.full((8, 8), 2)))
    model.index.prototypes = model.index.prototypes[:1].repeat(2, 1)
    model.index.classes = torch.tensor([3, 1])
    model.index.images, model.index.boxes = torch.zeros(2).long(), torch.zeros(2, 4)
    assert (model.segment(Painted(np.full((8, 8), 2))[0].image).semantic == 1).all()


def test_a_class_without_a_prototype_has_no_votes():
    image = Painted(quarters())[0].image
    for names in (NAMES, (*NAMES, "sea")):
        model = perfect(class_names=names)
        model.finish(Painted(quarters()))
        result = model.segment(image)
        assert result.class_names == names
        assert len(result.probabilities) == 1 + len(names)
        assert (result.probabilities[1 + len(NAMES) :] == 0).all()


def test_void_has_no_prototype():
    model = perfect()
    classes = np.full((10, 10), -1)
    model.finish(Painted(classes, quarters(void=True)))
    first, second = model.indexed_images()
    assert (first.segments, first.classes) == (0, ())
    assert second.segments >= 4
    assert second.classes == (0, 1, 2, 3)


def test_the_index_grows_and_changes_the_answers_at_once():
    model = perfect(k=1)
    grey = Painted(np.full((8, 8), 2))
    model.finish(Painted(np.where(quarters() == 2, -1, quarters())))
    assert (model.segment(grey[0].image).semantic != 2).all()
    model.index_images(grey)
    assert (model.segment(grey[0].image).semantic == 2).all()


def test_an_image_added_again_takes_the_place_of_itself():
    model = perfect()
    model.finish(Painted(quarters(), names=["yard"]))
    model.index_images(Painted(np.full((8, 8), 1), names=["yard"]))
    (row,) = model.indexed_images()
    assert row.name == "yard"
    assert row.classes == (1,)


def test_new_classes_get_the_next_numbers():
    model = perfect()
    model.finish(Painted(quarters()))
    other = Painted(np.full((8, 8), 1), names=["pond"])
    other.class_names = ("background", "water")
    model.index_images(other)
    assert model.config.class_names == (*NAMES, "water")
    assert model.indexed_images()[-1].classes == (4,)


def test_a_forgotten_image_gives_no_answers():
    model = perfect(k=1)
    model.finish(Painted(quarters(), np.full((8, 8), 3), names=["yard", "wood"]))
    model.forget_image("yard")
    assert [row.name for row in model.indexed_images()] == ["wood"]
    assert set(model.index.images.tolist()) == {0}
    assert (model.segment(Painted(quarters())[0].image).semantic == 3).all()


def test_forgetting_what_is_not_there_suggests_the_nearest():
    model = perfect()
    model.finish(Painted(quarters(), names=["yard"]))
    with pytest.raises(CongealError, match="did you mean 'yard'"):
        model.forget_image("yart")


def test_explanations_name_image_class_and_similarity():
    model = perfect(k=2)
    model.finish(Painted(np.full((8, 8), 3), quarters(), names=["wood", "yard"]))
    maps = model.predict_maps(Painted(np.full((8, 8), 3))[0].image)
    explained, labels = model.explain(maps), model.segments(maps)
    assert {one.segment for one in explained} == set(np.unique(labels))
    for one in explained:
        assert one.class_id == 3
        assert one.share == 1.0
        assert len(one.matches) == 2
        assert all(match.image in ("wood", "yard") for match in one.matches)
        assert all(match.similarity > 0.999 for match in one.matches)


def test_explaining_needs_an_index():
    model = perfect()
    with pytest.raises(CongealError, match="index"):
        model.explain(model.predict_maps(np.zeros((8, 8), np.uint8)))


def test_the_index_survives_saving_also_in_half_precision(tmp_path):
    model = SegSort(dimensions=4, class_names=NAMES)
    model.finish(Painted(quarters(), names=["façade/1"]))
    for half in (False, True):
        again = load(save_model(model, tmp_path / str(half), card="", half=half))
        assert again.index.names == ["façade/1"]
        assert again.index.prototypes.dtype == torch.float32
        assert torch.allclose(again.index.prototypes, model.index.prototypes, atol=1e-3)
        assert torch.equal(again.index.classes, model.index.classes)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 33), (3, 100)])
@pytest.mark.parametrize("stride", [2, 4, 8])
def test_narrow_images_train_and_are_answered(size, stride):
    model = trainee(stride=stride)
    classes = np.ones(size, np.int64)
    classes[:, size[1] // 2 :] = 2
    loss = loss_of(model.eval(), batch_of(classes[None]))  # norms need more than one value
    assert torch.isfinite(loss)
    model.finish(Painted(classes))
    assert model.segment(Painted(classes)[0].image).semantic.shape == size


def test_the_preset_of_the_paper_has_its_stride_and_a_head_that_learns_ten_times_as_fast():
    """PSPNet at stride 8, 2e-3 for the encoder and 2e-2 for what is new."""
    chosen = SegSort.presets["paper"]
    rate, share = chosen["training.learning_rate"], chosen["training.encoder_rate"]
    assert (rate * share, rate) == pytest.approx((2e-3, 2e-2))
    own = {path: value for path, value in chosen.items() if not path.startswith("training.")}
    model = SegSort(**{**own, "network.encoder": "resnet18", "network.pretrained": False})
    with torch.no_grad():
        assert model.eval()(torch.zeros(1, 3, 64, 96)).shape == (1, 32, 8, 12)


def test_the_loss_is_the_mean_over_the_pixels_of_the_batch():
    """An image that is void but for a strip counts by its pixels."""
    model = trainee(samples=None, memory=0).eval()
    whole, strip = quarters(), np.full_like(quarters(), -1)
    strip[:4] = quarters()[:4]
    embedding = torch.randn(2, 8, *(side // 2 for side in whole.shape))
    model.forward = lambda image: embedding
    batch = batch_of(np.stack([whole, strip]))
    found = loss_of(model, batch)
    truth = batch.get("semantic")[:, ::2, ::2]
    clusters = model._clusters(embedding, truth >= 0, batch.get("location")[:, :, ::2, ::2])
    expected = vmf_n_loss(embedding, clusters, truth, reduction="pixels")
    assert float(found) == pytest.approx(float(expected))
    assert float(found) != pytest.approx(float(vmf_n_loss(embedding, clusters, truth)))


def test_clusters_that_lose_all_their_pixels_vanish():
    model = trainee(grid=6)
    maps = torch.ones(1, 8, 12, 12)  # all alike: location alone decides
    classes = np.full((1, 24, 24), 2)
    model.forward = lambda image: maps.requires_grad_()
    loss = loss_of(model, batch_of(classes, torch.zeros(1, 2, 24, 24)))  # and it decides nothing
    loss.backward()
    assert torch.isfinite(maps.grad).all()
    assert len(model.bank) == 1


def test_the_memory_starts_empty_and_keeps_the_last_two_batches():
    model, batch = trainee(), batch_of(quarters()[None].repeat(2, 0))
    assert len(model.bank) == 0
    held = []
    for _ in range(4):
        loss_of(model, batch)
        held.append(len(model.bank))
    assert held[0] > 0
    assert held[1] > held[0]
    assert abs(held[3] - held[1]) < held[0]
    assert len(model.bank.sizes) == 2
    assert set(model.bank.classes.tolist()) == {0, 1, 2, 3}  # no made-up class


def test_the_memory_joins_the_loss():
    batch = batch_of(quarters()[None].repeat(2, 0))
    losses = []
    for memory in (0, 2):
        model = trainee(memory=memory)
        loss_of(model, batch)
        losses.append(float(loss_of(model, batch)))
    assert losses[0] != losses[1]


def test_evaluation_leaves_the_memory_as_it_is():
    model = trainee().eval()
    loss_of(model, batch_of(quarters()[None]))
    assert len(model.bank) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kappa_100_in_half_precision_stays_finite(dtype):
    model = trainee(concentration=100.0)
    maps = nn.functional.normalize(torch.randn(1, 8, 12, 12), dim=1).to(dtype).requires_grad_()
    model.forward = lambda image: maps
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, batch_of(quarters()[None]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(maps.grad).all()


def test_a_crop_is_clustered_by_its_place_in_the_whole_image():
    batch = batch_of(quarters()[None])
    corner = batch_of(quarters()[None], 0.25 * pixel_locations(24, 24)[None])
    model = trainee(memory=0).eval()
    assert float(loss_of(model, batch)) != float(loss_of(model, corner))
    blind = trainee(memory=0, location_weight=0).eval()
    assert float(loss_of(blind, batch)) == float(loss_of(blind, corner))


def test_without_supervision_only_the_segments_count():
    model = trainee(unsupervised=True).eval()
    batch = batch_of(quarters()[None])
    blind = Batch(batch.image, batch.labels + 1)
    other = Batch(batch.image, 1 + (batch.labels > 1))
    assert model.wanted_maps == ("labels",)
    assert float(loss_of(model, blind)) > 0
    assert float(loss_of(model, blind)) != float(loss_of(model, other))


def test_gradient_steps_bring_the_pixels_of_a_class_together():
    model, batch = trainee(memory=0), batch_of(quarters()[None].repeat(2, 0))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]


def test_weights_of_the_encoder_come_from_a_file(tmp_path):
    timm = pytest.importorskip("timm")
    stored = timm.create_model("resnet10t").state_dict()
    save_file(stored, tmp_path / "encoder.safetensors")
    told = {"encoder": "resnet10t", "encoder_weights": str(tmp_path / "encoder.safetensors")}
    held = trainee(**told).network.get_submodule("encoder").state_dict()
    (first,) = (value for name, value in held.items() if name.endswith("layer1.0.conv1.weight"))
    assert torch.equal(first, stored["layer1.0.conv1.weight"])


def test_pretrained_weights_are_asked_for(monkeypatch):
    timm = pytest.importorskip("timm")
    asked, create = [], timm.create_model

    def offline(*names, pretrained=False, **more):
        asked.append(pretrained)
        return create(*names, pretrained=False, **more)

    monkeypatch.setattr(timm, "create_model", offline)
    for pretrained in (False, True):
        trainee(encoder="resnet10t", pretrained=pretrained)
    assert asked == [False, True]


def test_only_methods_that_look_images_up_have_an_index():
    assert isinstance(trainee(), Indexed)
    assert not isinstance(RPE(dimensions=4), Indexed)
