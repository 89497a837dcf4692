from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from cases.sides import sides
from PIL import Image
from scipy.io import loadmat

from congeal.errors import CongealError
from congeal.metrics import (
    BsdsBoundaryMetric,
    HumanAgreementMetric,
    boundary_benchmark,
    boundary_counts,
    boundary_scores,
    boundary_thresholds,
    corner_boundaries,
    human_counts,
    merge_all,
)

GOLDEN = Path(__file__).parent / "golden" / "bsds_boundary"
IMAGES = np.load(GOLDEN / "images.npz")
COLLECTED = json.loads((GOLDEN / "collect.json").read_text())
POINT = ("threshold", "recall", "precision", "f")


def named(image):
    prediction, annotators = image
    return sides(annotators, prediction)


def golden_image(k):
    annotators = [IMAGES[f"seg_{k}_{a}"] for a in range(IMAGES["n_annotators"][k])]
    return IMAGES["pb"][k] / 255, annotators


def as_row(point):
    return [getattr(point, name) for name in POINT]


def close(value):
    return pytest.approx(value, rel=6e-6, abs=1e-9)  # printed with six digits


def collected_cases():
    for case in COLLECTED["collect_cases"]:
        yield case["counts"], case["thresholds"], case["official"]
    tables = IMAGES["counts_cntR_sumR_cntP_sumP_by_seed"]
    for counts, official in zip(tables, COLLECTED["image_eval_by_seed"], strict=False):
        yield counts, IMAGES["thresholds"].tolist(), official


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_counts_lie_in_the_range_of_the_official_program(k):
    official = IMAGES["counts_cntR_sumR_cntP_sumP_by_seed"][:, k]  # (seeds, T, 4)
    ours = np.array(
        [
            boundary_counts(**named(golden_image(k)), thresholds=IMAGES["thresholds"], seed=seed)
            for seed in range(3)
        ]
    )
    low, high = official.min(axis=0), official.max(axis=0)
    for exact in (1, 3):
        np.testing.assert_array_equal(ours[..., exact], np.stack([low[:, exact]] * 3))
    assert (abs(ours.mean(axis=0) - official.mean(axis=0)) <= 1.5).all()
    assert ((ours >= low) & (ours <= high)).mean() > 0.9  # a new draw may be a new extreme


def test_scores_of_count_tables_are_the_official_ones():
    for counts, thresholds, official in collected_cases():
        found = boundary_scores(counts, thresholds)
        assert as_row(found.ods) == [close(official[n]) for n in ("bestT", *NAMES["ODS"])]
        assert as_row(found.ois)[1:] == [close(official[n]) for n in NAMES["OIS"]]
        assert found.ap == close(official["Area_PR"])
        for points, rows in (
            (found.images, official["per_image_T_R_P_F"]),
            (found.curve, official["per_threshold_T_R_P_F"]),
        ):
            assert [as_row(point) for point in points] == [[close(v) for v in row] for row in rows]


NAMES = {name: [f"{name}_{part}" for part in "RPF"] for name in ("ODS", "OIS")}


def test_annotators_agree_as_the_official_program_finds():
    official = json.loads((GOLDEN / "human.json").read_text())
    metric = HumanAgreementMetric()
    rows = [metric.update(truth=golden_image(k)[1]) for k in range(3)]
    expected = np.array(official[0]["rows_img_ann_cntR_sumR_cntP_sumP"])[:, 2:]
    np.testing.assert_array_equal(np.concatenate(rows)[:, [1, 3]], expected[:, [1, 3]])
    found = metric.compute()
    for ours, theirs in (("recall", "R"), ("precision", "P"), ("f", "F")):
        values = [run[theirs] for run in official]
        assert min(values) - 2e-4 <= found[ours] <= max(values) + 2e-4


def test_a_single_annotator_says_nothing_about_agreement():
    assert human_counts(truth=[np.eye(5, dtype=bool)]).shape == (0, 4)
    metric = HumanAgreementMetric()
    metric.update(truth=[np.eye(5, dtype=bool)])
    assert metric.compute() == {"recall": 0, "precision": 0, "f": 0, "images": 0}


def test_agreement_of_merged_parts_is_that_of_the_whole():
    whole, parts = HumanAgreementMetric(), [HumanAgreementMetric() for _ in range(2)]
    for k in range(2):
        whole.update(truth=golden_image(k)[1])
        parts[k].update(truth=golden_image(k)[1])
    assert merge_all(parts).compute() == whole.compute()
    with pytest.raises(CongealError, match="same distance"):
        whole.merge(HumanAgreementMetric(0.01))


def bench_image(folder, name):
    truth = loadmat(folder / "groundTruth" / f"{name}.mat")["groundTruth"][0]
    annotators = [one["Boundaries"][0, 0] > 0 for one in truth]
    return np.asarray(Image.open(folder / "png" / f"{name}.png")) / 255, annotators


def bench_row(folder, name):
    return np.loadtxt(folder / name, ndmin=2)


def test_an_image_of_the_self_test_scores_as_printed(pack):
    folder = pack("bsds_bench") / "mini5"
    metric = BsdsBoundaryMetric(5)
    metric.update(**named(bench_image(folder, "3063")))
    expected = bench_row(folder, "test_2/eval_bdry_img.txt")[1, 1:]
    assert as_row(metric.scores().images[0]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.slow
def test_the_self_test_comes_out_as_printed(pack):
    folder = pack("bsds_bench") / "mini5"
    names = sorted(path.stem for path in (folder / "png").glob("*.png"))
    told = []
    found = boundary_benchmark(
        (bench_image(folder, name) for name in names), 5, 1, lambda *done: told.append(done)
    )
    expected = bench_row(folder, "test_2/eval_bdry.txt")[0]
    scores = found.scores()
    numbers = [*as_row(scores.ods), *as_row(scores.ois)[1:], scores.ap]
    # the official program's own runs differ by about as much
    assert numbers == pytest.approx(expected, abs=3e-4)
    assert round(found.compute()["ods"], 3) == 0.705
    assert told == [(done, None) for done in range(1, 6)]


@pytest.mark.slow
def test_contour_maps_and_segmentations_of_the_self_test_score_as_printed(pack):
    folder = pack("bsds_bench") / "mini5"
    _, annotators = bench_image(folder, "3063")
    contours = loadmat(folder / "ucm2/3063.mat")["ucm2"][2::2, 2::2]
    segs = [one.astype(np.int64) for one in loadmat(folder / "segs/3063.mat")["segs"].ravel()]
    for prediction, thresholds, test in ((contours, 5, 1), (segs, [1, 2, 3, 4, 5], 3)):
        metric = BsdsBoundaryMetric(thresholds)
        metric.update(prediction=prediction, truth=annotators)
        expected = bench_row(folder, f"test_{test}/eval_bdry_img.txt")[1, 1:]
        assert as_row(metric.scores().images[0]) == pytest.approx(expected, abs=2e-3)


def drawn_images(number=4):
    rng = np.random.default_rng(1)
    for _ in range(number):
        seg = np.kron(rng.integers(1, 4, (4, 5)), np.ones((10, 10), int))
        yield rng.random(seg.shape) * corner_boundaries(np.roll(seg, 1, 0)), [seg, seg.T[:40].T]


def test_processes_and_merged_parts_score_as_one_metric():
    images = [(pb, [a]) for pb, (a, _) in drawn_images()]
    whole = BsdsBoundaryMetric(9)
    parts = [BsdsBoundaryMetric(9) for _ in images]
    for part, image in zip(parts, images, strict=True):
        whole.update(**named(image))
        part.update(**named(image))
    assert merge_all(pickle.loads(pickle.dumps(parts))).compute() == whole.compute()
    told = []
    found = boundary_benchmark(images, 9, workers=1, progress=lambda *done: told.append(done))
    assert found.compute() == whole.compute()
    assert told == [(done, 4) for done in range(1, 5)]


@pytest.mark.slow
def test_two_processes_give_the_same_tables_as_one():
    images = [(pb, [a]) for pb, (a, _) in drawn_images(5)]
    one, two = (boundary_benchmark(iter(images), 9, workers=n) for n in (1, 2))
    np.testing.assert_array_equal(one.tables, two.tables)


def test_unchanged_cuts_are_counted_once_and_alike():
    pb = np.round(next(drawn_images())[0] * 3) / 3
    seg = next(drawn_images())[1][0]
    many = boundary_counts(prediction=pb, truth=[seg], thresholds=30)
    alone = [
        boundary_counts(prediction=pb, truth=[seg], thresholds=[t])[0]
        for t in boundary_thresholds(30)[::7]
    ]
    np.testing.assert_array_equal(many[::7], alone)


def test_few_thresholds_say_that_they_are_a_quick_estimate():
    assert BsdsBoundaryMetric(9).quick
    assert BsdsBoundaryMetric(9).compute()["quick"] == 1
    assert not BsdsBoundaryMetric().quick
    assert BsdsBoundaryMetric().compute()["quick"] == 0


def test_the_thresholds_of_the_benchmark_are_hundredths():
    assert boundary_thresholds() == pytest.approx(np.arange(1, 100) / 100)
    assert boundary_thresholds(9) == tuple(IMAGES["thresholds"])
    assert boundary_thresholds(5)[1] > 85 / 255  # as the official program rounds


@pytest.mark.parametrize(
    ("pb", "annotated", "row"),
    [
        (np.zeros((9, 9)), np.eye(9, dtype=bool), [0, 9, 0, 0]),
        (np.eye(9), np.zeros((9, 9), bool), [0, 0, 0, 9]),
        (np.zeros((9, 9)), np.full((9, 9), -1), [0, 0, 0, 0]),
        (np.eye(9), np.full((9, 9), -1), [0, 0, 0, 0]),
    ],
)
def test_images_without_boundaries_or_all_void_score_zero_and_not_an_error(pb, annotated, row):
    metric = BsdsBoundaryMetric([0.5])
    assert metric.update(prediction=pb, truth=[annotated]).tolist() == [row]
    assert metric.compute()["ods"] == metric.compute()["ois"] == metric.compute()["ap"] == 0


def halves_and_void():
    """Two regions that meet at column 10, and void from column 30 on, ``(40, 60)``."""
    labels = np.ones((40, 60), np.int64)
    labels[:, :10], labels[:, 30:] = 0, -1
    return labels


def lines(*columns):
    drawn = np.zeros((40, 60))
    drawn[:, columns] = 1
    return drawn


@pytest.mark.parametrize(
    ("columns", "predicted"),
    [
        ((9,), 40),
        ((9, 45), 40),  # in void
        ((9, 29), 40),  # at the rim of void, where no edge is known
        ((9, 20), 80),  # where it is known that there is none
    ],
)
def test_what_is_predicted_in_void_does_not_count(columns, predicted):
    found = boundary_counts(
        prediction=lines(*columns), truth=[halves_and_void()], thresholds=[0.5], max_distance=0.02
    )
    assert found.tolist() == [[40, 40, 40, predicted]]


def test_what_one_annotator_knows_counts():
    truth = [halves_and_void(), np.abs(halves_and_void())]
    options = {"thresholds": [0.5], "max_distance": 0.02}
    alone = boundary_counts(prediction=lines(9, 45), truth=truth, **options)
    assert alone[0, 3] == 80
    drawn = boundary_counts(prediction=lines(9, 45), truth=[truth[0], lines(9) > 0], **options)
    assert drawn[0, 3] == 80  # who draws boundaries says so of every pixel


def test_an_annotator_is_not_blamed_for_what_others_leave_void():
    one = halves_and_void()
    other = np.where(np.arange(60) < 45, np.abs(one), 2)
    blamed, _ = human_counts(truth=[other, one], max_distance=0.02).tolist()
    assert blamed == [40, 40, 40, 40]


def test_a_metric_that_saw_nothing_scores_zero():
    scores = BsdsBoundaryMetric(9).compute()
    assert scores["ods"] == scores["ois"] == scores["ap"] == scores["images"] == 0


LINE = np.eye(9, dtype=bool)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: boundary_counts(prediction=LINE * 1.0, truth=[]), "at least one annotator"),
        (lambda: boundary_counts(prediction=LINE * 1.0, truth=[LINE[:8]]), "the same"),
        (lambda: boundary_counts(prediction=LINE * 1.0, truth=[LINE, LINE[:8]]), "the same"),
        (lambda: boundary_counts(prediction=LINE * 2.0, truth=[LINE]), "in 0 to 1"),
        (
            lambda: boundary_counts(prediction=np.full((9, 9), np.nan), truth=[LINE]),
            "in 0 to 1, got nan",
        ),
        (lambda: boundary_counts(prediction=np.ones(9), truth=[LINE]), "(H, W)"),
        (
            lambda: boundary_counts(
                prediction=[LINE * 1, LINE * 1], truth=[LINE], thresholds=[1.0]
            ),
            "1 segmentations",
        ),
        (lambda: boundary_counts(prediction=LINE * 1.0, truth=[LINE * 1.0]), "integer labels"),
        (lambda: BsdsBoundaryMetric([0.5, 0.4]), "ascending"),
        (lambda: BsdsBoundaryMetric(0), "ascending"),
        (lambda: BsdsBoundaryMetric([float("nan")]), "finite"),
        (lambda: BsdsBoundaryMetric(9).merge(BsdsBoundaryMetric(5)), "same thresholds"),
        (lambda: BsdsBoundaryMetric(9).add([[1, 2, 3, 4]]), "shape"),
        (lambda: BsdsBoundaryMetric(9).scores(), "N >= 1"),
        (lambda: boundary_benchmark([], workers=0), "at least one worker"),
    ],
)
def test_bad_input_is_told_in_one_line(call, told):
    with pytest.raises(CongealError) as caught:
        call()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
