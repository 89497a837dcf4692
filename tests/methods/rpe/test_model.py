import json

import numpy as np
import pytest
import torch
from torch import nn

from congeal.data.batch import Batch
from congeal.errors import CongealError
from congeal.methods.image import pad_to
from congeal.methods.method import MapPrediction
from congeal.methods.rpe import RPE, RPEConfig
from congeal.networks import EmbeddingOutput

TINY = {"dimensions": 4, "samples": 64}
# An untrained model that calls everything foreground and keeps the smallest object.
EAGER = {**TINY, "foreground_threshold": 1e-6, "min_area": 0}


def make(seed=0, **settings):
    torch.manual_seed(seed)
    return RPE(**{**TINY, **settings})


def speckled(height, width, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(height * 1000 + width)
    return rng.integers(0, 200, (height, width, channels)).astype(dtype)


def scene(background=0):
    """Labels (16, 24): two bars and a square, and what a perfect network says of them."""
    labels = np.full((16, 24), background, np.int64)
    labels[2:6], labels[8:14, 2:8], labels[8:14, 12:22] = 1, 2, 3
    return labels


def perfect(labels, stride=2, classes=(0, 1, 1, 1), count=1):
    """The output that tells exactly these labels: a direction for each, classes by `classes`."""
    coarse = torch.from_numpy(labels[::stride, ::stride])
    embedding = nn.functional.one_hot(coarse, 4).permute(2, 0, 1)[None].float()
    kind = torch.tensor(classes)[torch.from_numpy(labels)]
    semantic = 20.0 * nn.functional.one_hot(kind, count + 1).permute(2, 0, 1)[None]
    return EmbeddingOutput(embedding, semantic, torch.full((1, 1, *labels.shape), -20.0))


def decode(model, output, size):
    """What a model makes of each image of an output."""
    stride = model.config.network.stride
    return [
        model.decode(MapPrediction(dict(zip(output.maps(), parts, strict=True)), size, stride))
        for parts in zip(*output.maps().values(), strict=True)
    ]


def batch_of(labels, semantic=None):
    """A batch of arbitrary images with these labels; objects are of class 1 unless said."""
    seed = torch.Generator().manual_seed(0)
    image = torch.rand(len(labels), 3, *labels.shape[1:], generator=seed)
    return Batch(
        image, labels=labels, semantic=labels.clamp(max=1) if semantic is None else semantic
    )


@pytest.mark.parametrize("coordinates", ["rotary", "both", "projected"])
@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 7), (3, 200), (33, 65), (64, 32), (45, 31)]
)
def test_any_image_size_gives_labels_of_that_size(height, width, coordinates):
    result = make(**EAGER, coordinates=coordinates).segment(speckled(height, width))
    labels = result.labels
    assert labels.shape == (height, width)
    assert labels.dtype == np.int64
    assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, len(result) + 1))
    assert len(result) >= 1
    assert ((result.scores >= 0) & (result.scores <= 1)).all()


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("radius", [None, 12.0])
def test_both_strides_and_both_ways_to_decode_work_on_sizes_that_do_not_divide(stride, radius):
    result = make(**EAGER, stride=stride, repulsion_radius=radius).segment(speckled(37, 50))
    assert result.shape == (37, 50)
    assert (result.labels > 0).all()


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 1), (40, 30, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_gray_and_colour_of_every_depth_are_taken(shape, dtype):
    image = speckled(40, 30).astype(dtype)[..., : shape[-1] if len(shape) == 3 else 1]
    assert make(**EAGER).segment(image.reshape(shape)).shape == (40, 30)


def test_the_scale_of_the_pixels_changes_nothing():
    model, image = make(**EAGER), speckled(40, 33)
    expected = model.segment(image, keep_embedding=True)
    for other in (image.astype(np.uint16) * 256, image.astype(np.float32) / 256):
        result = model.segment(other, keep_embedding=True)
        assert np.array_equal(result.labels, expected.labels)
        assert np.array_equal(result.scores, expected.scores)
        assert np.array_equal(result.embedding, expected.embedding)


def test_a_gray_image_is_the_same_with_and_without_its_channel():
    model, image = make(**EAGER), speckled(20, 20, 1)
    assert np.array_equal(model.segment(image).labels, model.segment(image[..., 0]).labels)


def test_a_wide_decoder_is_what_the_setting_says():
    light, wide = make().network.decoder, make(decoder="wide").network.decoder
    assert (light.channels, wide.channels) == (24, 40)


def test_a_constant_image_has_a_result():
    assert make(**EAGER).segment(np.full((20, 30), 7, np.uint16)).shape == (20, 30)


@pytest.mark.parametrize("shape", [(4, 4, 4), (0, 4, 3), (4,)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(CongealError, match=r"expected an image"):
        make().segment(np.zeros(shape, np.uint8))


def test_segmenting_leaves_a_model_in_training_as_it_was():
    model = make().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.segment(speckled(32, 32))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_embedding_is_kept_when_asked_for_and_covers_the_image():
    model = make(stride=4)
    assert model.segment(speckled(30, 50)).embedding is None
    embedding = model.segment(speckled(30, 50), keep_embedding=True).embedding
    assert embedding.shape == (4, 8, 13)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=0), 1, rtol=1e-5)


def test_padding_repeats_the_border():
    padded = pad_to(torch.arange(6.0).reshape(1, 1, 2, 3), 4)
    assert padded[0, 0].tolist() == [[0, 1, 2, 2]] + 3 * [[3, 4, 5, 5]]


@pytest.mark.parametrize("stride", [2, 4])
def test_perfect_outputs_are_decoded_as_the_objects_they_tell(stride):
    labels = np.repeat(np.repeat(scene(), 2, 0), 2, 1)
    model = make(stride=stride, min_area=4)
    (result,) = decode(model, perfect(labels, stride), labels.shape)
    assert len(result) == 3
    for number in (1, 2, 3):
        found = np.unique(result.labels[labels == number])
        assert len(found) == 1
        assert np.array_equal(result.labels == found[0], labels == number)
    assert (result.scores > 0.99).all()


def test_objects_get_the_class_that_most_of_their_pixels_have():
    labels = scene()
    output = perfect(labels, classes=(0, 2, 1, 2), count=2)
    output.semantic[0, :, 2, :4] = torch.tensor([0.0, 20.0, 0.0])[:, None]  # a few dissent
    model = make(class_names=("square", "bar"), min_area=4)
    (result,) = decode(model, output, labels.shape)
    classes = {int(labels[result.labels == i][0]): int(c) for i, c in enumerate(result.classes, 1)}
    assert classes == {1: 2, 2: 1, 3: 2}
    assert tuple(result.class_names) == ("square", "bar")


def test_background_as_a_group_is_the_largest_and_is_left_out():
    labels = scene()
    (result,) = decode(make(background="group", min_area=4), perfect(labels), labels.shape)
    assert len(result) == 3
    assert np.array_equal(result.labels > 0, labels > 0)


@pytest.mark.parametrize("background", ["head", "group"])
def test_an_image_without_objects_has_an_empty_result(background):
    labels = np.zeros((16, 24), np.int64)
    (result,) = decode(make(background=background), perfect(labels), labels.shape)
    assert len(result) == 0
    assert not result.labels.any()


def test_a_batch_is_decoded_image_by_image():
    outputs = [perfect(scene()), perfect(np.zeros((16, 24), np.int64))]
    batch = EmbeddingOutput(
        *(torch.cat(parts) for parts in zip(*(one[:3] for one in outputs), strict=True))
    )
    assert [len(result) for result in decode(make(min_area=4), batch, (16, 24))] == [3, 0]


def test_fragments_under_the_smallest_size_are_no_objects():
    labels = scene()
    (result,) = decode(make(min_area=40), perfect(labels), labels.shape)
    assert len(result) == 2  # the square of 36 pixels is gone


def test_fragments_by_the_measure_of_their_image_are_no_objects():
    labels = scene()
    (result,) = decode(make(min_area=4, min_area_ratio=0.7), perfect(labels), labels.shape)
    assert len(result) == 2  # 36 pixels are under 0.7 of the median, 60


def test_objects_the_semantic_map_is_unsure_of_are_dropped_when_asked():
    labels, sure = scene(), {"min_area": 4, "min_score": 0.7}
    output = perfect(labels)
    output.semantic[0, :, 8:14, 12:22] = torch.tensor([0.0, 0.3])[:, None, None]
    (result,) = decode(make(**sure), output, labels.shape)
    assert np.array_equal(result.labels > 0, (labels == 1) | (labels == 2))
    assert (result.scores > 0.7).all()
    output.semantic[0] = torch.tensor([0.0, 0.3])[:, None, None]
    assert len(decode(make(**sure), output, labels.shape)[0]) == 0


VOID, EMPTY = torch.full((2, 32, 32), -1), torch.zeros(2, 32, 32, dtype=torch.int64)
OBJECTS = torch.from_numpy(np.kron([[1, 2], [-1, 0]], np.ones((16, 16), int))).expand(2, 32, 32)


@pytest.mark.parametrize("background", ["head", "group"])
@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("radius", [None, 8.0])
@pytest.mark.parametrize("labels", [VOID, EMPTY, OBJECTS], ids=["void", "empty", "objects"])
def test_every_term_of_the_loss_is_finite_and_so_are_its_gradients(
    background, steps, radius, labels
):
    model = make(background=background, mean_shift_steps=steps, repulsion_radius=radius)
    terms = model.losses(batch_of(labels))
    assert set(terms) == {"embedding", "semantic", "touching"}
    assert all(term.isfinite() and term >= 0 for term in terms.values())
    sum(terms.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_the_loss_goes_through_mean_shift_once_the_training_is_that_far():
    model, plain = (
        make(mean_shift_steps=2, mean_shift_start=0.6, samples=999),
        make(mean_shift_steps=0, samples=999),
    )
    output = model.eval()(torch.rand(1, 3, 32, 32))

    def loss(method, progress):
        terms = method.losses_of(output, batch_of(OBJECTS[:1]), progress=progress)
        return terms["embedding"].item()

    assert loss(model, 0.5) == loss(plain, 0.5) == loss(plain, 1.0)
    assert loss(model, 0.6) == loss(model, 1.0) > loss(model, 0.5)


def test_void_pixels_weigh_nothing():
    model = make()
    terms = model.losses(batch_of(VOID))
    assert [term.item() for term in terms.values()] == [0, 0, 0]


def test_perfect_outputs_cost_next_to_nothing():
    labels = torch.from_numpy(np.kron(scene(), np.ones((4, 4), int)))[None]
    output = perfect(labels[0].numpy())
    terms = make().losses_of(output, batch_of(labels))
    assert terms["embedding"] < 1e-3
    assert terms["semantic"] < 1e-3
    worse = make().losses_of(
        output._replace(embedding=output.embedding.roll(4, 2)), batch_of(labels)
    )
    assert worse["embedding"] > 10 * terms["embedding"]


def test_what_objects_are_called_changes_no_loss():
    model = make(samples=1000)
    output = model.eval()(torch.rand(1, 3, 32, 32))
    labels = OBJECTS[:1]
    renamed = torch.where(labels > 0, 900 - 7 * labels, labels)
    terms = [model.losses_of(output, batch_of(one)).values() for one in (labels, renamed)]
    for a, b in zip(*terms, strict=True):
        torch.testing.assert_close(a, b)


def test_the_same_generator_draws_the_same_pixels():
    model = make(samples=16)
    output = model(torch.rand(2, 3, 32, 32))

    def loss(seed):
        generator = torch.Generator().manual_seed(seed)
        terms = model.losses_of(output, batch_of(OBJECTS), generator=generator)
        return terms["embedding"].item()

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_classes_are_learnt_from_a_semantic_map():
    model = make(class_names=("a", "b"))
    output = model.eval()(torch.rand(1, 3, 32, 32))
    objects = OBJECTS[:1]
    wrong = model.losses_of(output, batch_of(objects))["semantic"]
    sure = output._replace(
        semantic=20.0 * nn.functional.one_hot(OBJECTS[:1].clamp(0), 3).permute(0, 3, 1, 2)
    )
    right = model.losses_of(sure, batch_of(objects, semantic=objects))["semantic"]
    assert right < 1e-3 < wrong


def test_a_learnable_concentration_learns():
    model = make(learn_concentration=True)
    sum(model.losses(batch_of(OBJECTS)).values()).backward()
    assert model.shift.log_concentration.grad.abs() > 0


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


def test_of_a_file_of_encoder_weights_the_name_is_told_and_not_the_place(tmp_path):
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


def test_gamma_is_a_power_of_what_the_network_sees():
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


def test_the_decoding_can_be_changed_afterwards_and_nothing_else():
    model = make()
    assert model.configure(min_area=50, merge_margin=0.2) is model
    assert (model.read_out.smallest, model.read_out.margin) == (50, 0.2)
    with pytest.raises(CongealError, match=r"may change after training 'network\.dimensions'"):
        model.configure(dimensions=8)
    with pytest.raises(CongealError, match="foreground"):
        model.configure(foreground_threshold=2)
    assert model.config.decoding.min_area == 50


def test_the_decoding_follows_the_loss_where_nothing_else_is_said():
    read_out = make(margin=0.4, repulsion_radius=30, fill_holes=True).read_out
    assert (read_out.margin, read_out.reach, read_out.holes) == (0.4, 15, True)
    assert read_out.kappa == pytest.approx(9 / 0.6**2)
    assert make(margin=0.4, merge_margin=0.1, decode_concentration=3).read_out.kappa == 3


@pytest.mark.parametrize("name", ["mean-shift", "k-means", "flat-shift", "proposals"])
def test_another_grouping_decodes_the_same_model(name):
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:30, 8:30], image[36:60, 34:60] = 200, 120
    model = RPE(dimensions=4, coordinates="none", foreground_threshold=0.01).configure(
        grouping=name
    )
    assert model.read_out.grouping is not None
    assert model.segment(image).shape == (64, 64)


def test_options_of_the_grouping_are_checked_when_it_is_made():
    model = RPE(dimensions=4).configure(grouping="k-means", grouping_options={"grid": 3})
    assert model.read_out.grouping.grid == 3
    with pytest.raises(CongealError, match="did you mean 'k-means'"):
        model.configure(grouping="kmean")
