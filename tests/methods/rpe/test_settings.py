import json

import numpy as np
import pytest
import torch
from cases.rpe_cases import (
    TINY,
    make,
)

from congeal.errors import CongealError
from congeal.methods.method import MapPrediction
from congeal.methods.rpe import RPE, RPEConfig


def test_the_same_seed_gives_the_same_model():
    first, second, other = (make(seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"encoder": "resnet10t", "freeze_norm": True, "output_stride": 16, "stride": 4},
        {"encoder": "resnet10t", "encoder_levels": 3, "frozen_levels": 1},
        {"coordinates": "both", "class_names": ("a", "b"), "learn_concentration": True},
        {
            "background": "group",
            "repulsion_radius": 20.5,
            "wavelengths": (9.0, 33.0),
            "merge_margin": 0.3,
        },
    ],
)
def test_settings_and_weights_make_the_same_model_again(settings):
    model = make(**settings).eval()
    twin = RPE.from_settings(json.loads(json.dumps(model.settings)))
    twin.load_state_dict(model.state_dict())
    assert twin.settings == model.settings
    assert twin.config == model.config
    image = torch.rand(1, 3, 32, 32)
    said, told = model(image).maps(), twin.eval()(image).maps()
    assert all(torch.equal(said[name], told[name]) for name in said)


def test_settings_have_the_name_of_a_weights_file_without_its_path(tmp_path):
    encoder = RPE(encoder="resnet10t", dimensions=4).network.encoder.model
    torch.save(encoder.state_dict(), tmp_path / "weights.pth")
    model = RPE(encoder="resnet10t", dimensions=4, encoder_weights=str(tmp_path / "weights.pth"))
    assert model.settings["network"]["encoder_weights"] == "weights.pth"
    assert str(tmp_path) not in json.dumps(model.settings)


def test_making_a_model_again_asks_for_no_weights():
    told = {"encoder": "resnet10t", "encoder_weights": "gone.pth", "pretrained": True}
    model = RPE.from_settings(RPEConfig.from_settings(told).model_dump())
    assert model.config.network.encoder_weights is None
    assert model.config.network.pretrained is False


def test_timm_encoders_see_what_they_were_trained_on():
    network = make(encoder="resnet10t").network
    assert network.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert make(encoder="resnet10t", mean=(0.5,)).network.mean.flatten().tolist() == [0.5]
    assert make().network.deviation.flatten().tolist() == [1.0]


def test_gamma_is_an_exponent_of_the_network_input():
    model, lifting = make().eval(), make(gamma=0.5).eval()
    image = torch.rand(1, 3, 32, 32) - 0.1  # noise may be below zero
    for a, b in zip(lifting(image)[:3], model(image.clamp(min=0).sqrt())[:3], strict=True):
        torch.testing.assert_close(a, b)


def test_settings_by_name_go_over_a_config():
    config = RPEConfig.from_settings({**TINY, "margin": 0.3})
    assert RPE(config).config is config
    assert RPE(config, margin=0.4).config == RPEConfig.from_settings({**TINY, "margin": 0.4})


def test_names_of_earlier_versions_mean_what_they_are_called_now():
    old = {"tone": 0.5, "reach": 20, "train_steps": 2, "views": 4, "smallest": 9, "merge": 0.3}
    config = make(**old, holes=True).config
    assert (
        config
        == make(
            gamma=0.5,
            repulsion_radius=20,
            mean_shift_steps=2,
            tta=4,
            min_area=9,
            merge_margin=0.3,
            fill_holes=True,
        ).config
    )
    assert all(path in RPEConfig.leaves() for path in RPEConfig.renamed.values())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dimension": 4}, "unknown setting 'dimension'; did you mean 'dimensions'"),
        ({"encoder": "resnet81"}, "unknown encoder 'resnet81'; did you mean 'resnet18'"),
        ({"margin": 1.0}, "margin: .* less than 1, got 1.0"),
        ({"margin": float("nan")}, "margin: .* got nan"),
        ({"dimensions": 5}, "even number of dimensions, got 5"),
        ({"dimensions": "many"}, "dimensions: .* got 'many'"),
        ({"stride": 3}, "stride: .* 2 or 4, got 3"),
        ({"output_stride": 5}, "output_stride: expected 8, 16 or 32, got 5"),
        ({"coordinates": "polar"}, "coordinates: .* got 'polar'"),
        ({"wavelengths": (9.0, 3.0)}, "0 < shortest <= longest"),
        ({"class_names": ()}, "class_names"),
        ({"mean": (0.5, 0.5)}, r"mean: expected one number or three"),
        ({"repulsion_radius": 0}, "repulsion_radius: .* greater than 0"),
        ({"encoder_weights": "w.pth"}, "expected a timm encoder"),
        ({"encoder": "vit_tiny_patch16_224"}, "expected features at stride 2"),
    ],
)
def test_settings_that_do_not_fit_are_told_in_one_line(settings, said):
    with pytest.raises(CongealError, match=said) as caught:
        RPE(**settings)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def decoder_of(model):
    """As for the maps of an image at its own size, of stride 1."""
    return model.decoder(MapPrediction({}, (8, 8)))


def test_the_decoding_can_be_changed_afterwards_and_nothing_else():
    model = make()
    assert model.configure(min_area=50, merge_margin=0.2) is model
    decoder = decoder_of(model)
    assert (decoder.min_area, decoder.grouping.margin) == (50, 0.2)
    with pytest.raises(CongealError, match=r"may change after training 'network\.dimensions'"):
        model.configure(dimensions=8)
    with pytest.raises(CongealError, match="foreground"):
        model.configure(foreground_threshold=2)
    assert model.config.decoding.min_area == 50


def test_the_decoding_follows_the_loss_where_nothing_else_is_said():
    decoder = decoder_of(make(margin=0.4, repulsion_radius=30, fill_holes=True))
    shift = decoder.grouping
    assert (shift.margin, shift.kernel_radius, decoder.fill_holes) == (0.4, 15, True)
    assert float(shift.concentration) == pytest.approx(9 / 0.6**2)
    other = decoder_of(make(margin=0.4, merge_margin=0.1, decode_concentration=3)).grouping
    assert float(other.concentration) == pytest.approx(3)


@pytest.mark.parametrize("name", ["mean-shift", "k-means", "flat-shift", "proposals"])
def test_another_grouping_decodes_the_same_model(name):
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:30, 8:30], image[36:60, 34:60] = 200, 120
    model = RPE(dimensions=4, coordinates="none", foreground_threshold=0.01).configure(
        grouping=name
    )
    assert model.segment(image).shape == (64, 64)


def test_options_of_the_grouping_are_checked_when_it_is_made():
    model = RPE(dimensions=4).configure(grouping="k-means", grouping_options={"grid": 3})
    assert decoder_of(model).grouping.grid == 3
    with pytest.raises(CongealError, match="did you mean 'k-means'"):
        model.configure(grouping="kmean")
