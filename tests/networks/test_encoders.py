import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from congeal.errors import CongealError
from congeal.networks import CompactEncoder, TimmEncoder, build_encoder, list_encoders

NAME = "resnet10t"


@pytest.fixture(scope="session")
def trained():
    """An encoder with weights of its own."""
    torch.manual_seed(5)
    return TimmEncoder(NAME)


def same(encoder, other):
    a, b = encoder.state_dict(), other.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a if "num_batches" not in name)


def tensors(encoder):
    return {k: v for k, v in encoder.model.state_dict().items() if "num_batches" not in k}


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_100"])
def test_an_encoder_by_name_stops_at_the_stride_asked_for(name):
    encoder = build_encoder(name, output_stride=8)
    assert encoder.reductions == [2, 4, 8, 8, 8]
    shapes = [tuple(f.shape[1:]) for f in encoder.eval()(torch.zeros(1, 3, 64, 32))]
    assert shapes == [
        (c, 64 // r, 32 // r) for c, r in zip(encoder.channels, encoder.reductions, strict=True)
    ]
    assert build_encoder(name, output_stride=32).reductions == [2, 4, 8, 16, 32]


def test_an_architecture_that_cannot_dilate_keeps_its_strides(monkeypatch):
    import timm

    create = timm.create_model

    def stubborn(name, **keywords):
        if "output_stride" in keywords:
            raise TypeError("unexpected keyword argument 'output_stride'")
        return create(name, **keywords)

    monkeypatch.setattr(timm, "create_model", stubborn)
    assert TimmEncoder(NAME, output_stride=8).reductions == [2, 4, 8, 16, 32]


def test_coordinate_channels_widen_the_first_layer():
    encoder = build_encoder(NAME, channels_in=5)
    assert encoder(torch.zeros(2, 5, 32, 32))[0].shape[-1] == 16


def test_frozen_norms_stay_frozen_in_training():
    encoder = build_encoder(NAME, freeze_norm=True).train()
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


def test_levels_beyond_those_wanted_are_left_out():
    whole, part = build_encoder(NAME), build_encoder(NAME, levels=3)
    assert part.reductions == whole.reductions[:3]
    assert sum(p.numel() for p in part.parameters()) < sum(p.numel() for p in whole.parameters())
    part.load_state_dict({k: whole.state_dict()[k] for k in part.state_dict()})
    image = torch.rand(1, 3, 64, 64)
    for one, other in zip(part.eval()(image), whole.eval()(image), strict=False):
        torch.testing.assert_close(one, other)


def test_nothing_is_computed_after_the_last_level():
    encoder = build_encoder("mobilenetv2_100", levels=4, output_stride=32)
    features = encoder(torch.rand(2, 3, 64, 64))
    torch.stack([f.sum() for f in features]).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


@pytest.mark.parametrize("name", [NAME, "mobilenetv2_100", "convnext_atto"])
def test_frozen_levels_come_before_those_that_learn(name):
    encoder = build_encoder(name, frozen=2, output_stride=32)
    features = encoder(torch.rand(2, 3, 64, 64))
    assert [f.requires_grad for f in features] == [i >= 2 for i in range(len(features))]
    learning = [p.requires_grad for p in encoder.parameters()]
    assert learning == sorted(learning)


@pytest.mark.parametrize("setting", [{"levels": 9}, {"frozen": 9}])
def test_more_levels_than_there_are_are_refused(setting):
    with pytest.raises(CongealError, match=r"expected at most 5 .*got 9"):
        build_encoder(NAME, **setting)


@pytest.mark.parametrize("setting", [{"levels": 2}, {"frozen": 1}])
def test_the_compact_encoder_has_no_levels_to_choose(setting):
    with pytest.raises(CongealError, match="expected a timm encoder"):
        build_encoder("compact", **setting)


def test_the_compact_encoder_is_one_of_the_names():
    assert isinstance(build_encoder("compact", 5), CompactEncoder)
    assert list_encoders()[0] == "compact"


@pytest.mark.parametrize(
    ("name", "near"), [("resnet81", "resnet18"), ("compac", "compact"), ("Resnet10t", "resnet10t")]
)
def test_an_unknown_encoder_suggests_the_nearest(name, near):
    with pytest.raises(CongealError, match=f"unknown encoder '{name}'; did you mean '{near}'"):
        build_encoder(name)


def test_compact_has_no_pretrained_weights():
    with pytest.raises(CongealError, match="expected a timm encoder"):
        build_encoder("compact", pretrained=True)


def test_pretrained_weights_that_cannot_be_fetched_are_told_in_one_line(monkeypatch):
    import timm

    def unreachable(*_, **__):
        raise RuntimeError("no route to host\nmore of it")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(CongealError, match="no route to host") as caught:
        TimmEncoder(NAME, pretrained=True)
    assert "\n" not in str(caught.value)
    assert "local file" in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_come_from_a_file_in_timm_names(trained, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": tensors(trained)}, path)
    else:
        save_file({k: v.contiguous() for k, v in tensors(trained).items()}, path)
    assert same(TimmEncoder(NAME, weights=path), trained)


def test_weights_under_other_names_are_taken_in_order(trained, tmp_path):
    renamed = {f"features.{i}": v for i, v in enumerate(tensors(trained).values())}
    torch.save({**renamed, "classifier.weight": torch.zeros(10, 3)}, tmp_path / "w.pth")
    assert same(TimmEncoder(NAME, weights=tmp_path / "w.pth"), trained)


@pytest.mark.parametrize("named", [True, False])
def test_weights_for_colours_serve_an_encoder_that_also_sees_coordinates(trained, tmp_path, named):
    found = tensors(trained)
    if not named:
        found = {f"features.{i}": v for i, v in enumerate(found.values())}
    torch.save(found, tmp_path / "w.pth")
    wide = TimmEncoder(NAME, 5, weights=tmp_path / "w.pth").eval()
    image, place = torch.rand(1, 3, 32, 32), torch.rand(1, 2, 32, 32)
    for a, b in zip(wide(torch.cat([image, place], 1)), trained.eval()(image), strict=True):
        torch.testing.assert_close(a, b)


def test_half_precision_weights_are_widened(trained, tmp_path):
    torch.save({k: v.half() for k, v in tensors(trained).items()}, tmp_path / "w.pth")
    encoder = TimmEncoder(NAME, weights=tmp_path / "w.pth")
    assert all(p.dtype == torch.float32 for p in encoder.parameters())


def test_a_few_missing_tensors_are_a_warning(trained, tmp_path):
    found = tensors(trained)
    lost = list(found)[-1]
    del found[lost]
    torch.save(found, tmp_path / "w.pth")
    with pytest.warns(UserWarning, match=f"lacks 1 tensors, such as {lost}"):
        TimmEncoder(NAME, weights=tmp_path / "w.pth")


def test_a_tensor_of_another_shape_is_named(trained, tmp_path):
    found = tensors(trained)
    name = next(k for k in found if "layer4" in k and found[k].ndim == 4)
    torch.save({**found, name: torch.zeros(1, 1, 1, 1)}, tmp_path / "w.pth")
    with pytest.raises(CongealError, match=f"expected {name} of shape"):
        TimmEncoder(NAME, weights=tmp_path / "w.pth")


def write_nothing(path):
    pass


def write_empty(path):
    path.write_bytes(b"")


def write_text(path):
    path.write_text("not weights")


def write_half(path):
    torch.save({"a": torch.rand(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])


def write_list(path):
    torch.save([1, 2], path)


def write_other(path):
    torch.save({"a": torch.zeros(2)}, path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "write", [write_nothing, write_empty, write_text, write_half, write_list, write_other]
)
def test_missing_foreign_and_truncated_weights_are_told_in_one_line(tmp_path, write, suffix):
    path = tmp_path / f"w{suffix}"
    write(path)
    with pytest.raises(CongealError) as caught:
        TimmEncoder(NAME, weights=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_as_torchvision_names_them_give_the_same_features():
    import torchvision

    data = Path(os.environ.get("CONGEAL_DATA", "../shared/data"))
    path = data.parent / "weights" / "mobilenet_v2_imagenet_backbone_f16.pth"
    if not path.is_file():
        pytest.skip("needs a file of MobileNetV2 weights beside the data packs")
    content = torch.load(path, weights_only=True)
    reference = torchvision.models.mobilenet_v2().eval()
    reference.load_state_dict({k: v.float() for k, v in content.items()}, strict=False)
    encoder = TimmEncoder("mobilenetv2_100", weights=path, output_stride=32).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = reference.features[:18](image)  # (1, 320, 2, 2)
        torch.testing.assert_close(encoder(image)[-1], expected, atol=1e-4, rtol=1e-4)
