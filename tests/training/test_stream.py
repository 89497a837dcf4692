from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from congeal.data import Dataset, DrawnDataset
from congeal.data.batch import MAPS, Batch
from congeal.data.sample import Sample
from congeal.data.transforms import TrainTransform
from congeal.data.zoom import zoomed_size
from congeal.errors import CongealError
from congeal.labels import areas
from congeal.training.stream import (
    DrawSampler,
    TrainStream,
    seeded_generator,
    spread_draws,
    start_worker,
)


class Counted(Dataset):
    """Drawings that note which of them are read."""

    name, split = "counted", "train"

    def __init__(self):
        self.drawings = DrawnDataset("sticks", "train", count=5, size=64)
        self.read = []

    def __len__(self):
        return len(self.drawings)

    def __getitem__(self, index):
        self.read.append(index)
        return self.drawings[index]

    def names(self):
        return self.drawings.names()


def stream(dataset=None, **settings):
    return TrainStream(dataset or Counted(), TrainTransform(crop=32), **settings)


def equal(first, second):
    assert first.maps == second.maps
    return all(torch.equal(getattr(first, n), getattr(second, n)) for n in ("image", *first.maps))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_is_a_function_of_seed_and_number_whatever_the_workers(workers):
    loader = DataLoader(
        stream(workers=workers),
        sampler=DrawSampler(6, before=lambda: 3),
        batch_size=2,
        num_workers=workers,
        worker_init_fn=start_worker,
        collate_fn=Batch.collate,
    )
    crops = [crop for batch in loader for crop in batch.chunk(2)]
    alone = stream(cache_gb=0)
    for number, crop in zip(reversed(range(3, 9)), reversed(crops), strict=True):
        assert equal(alone[number], crop)


@pytest.mark.parametrize("maps", [(), ("semantic",), ("labels", "boundaries"), MAPS])
def test_maps_that_are_not_wanted_are_not_there_and_change_nothing(maps):
    whole, part = stream(cache_gb=0), stream(maps=maps)
    for number in range(3):
        assert part[number].maps == maps
        for name in ("image", *maps):
            assert torch.equal(getattr(part[number], name), getattr(whole[number], name))
    part.reader.close()


def test_a_map_that_does_not_exist_is_told():
    with pytest.raises(CongealError, match="unknown map of a batch 'boundary'; did you mean 'boun"):
        stream(maps=["boundary"])


def test_another_seed_gives_other_samples():
    assert not equal(stream(seed=1)[0], stream(seed=2)[0])
    assert not equal(stream(seed=1)[0], stream(seed=1)[5])


def test_every_image_comes_once_in_each_round_in_an_order_of_its_own():
    dataset = Counted()
    crops = stream(dataset, cache_gb=0)
    for number in range(20):
        crops[number]
    rounds = [dataset.read[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1


class Crowds(Dataset):
    """Image i holds i squared objects of one pixel, and void."""

    name, split = "crowds", "train"

    def __init__(self, count=5):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        labels = np.full((8, 8), -1)
        labels.flat[: index**2] = 7 * np.arange(1, index**2 + 1)
        return Sample(str(index), np.full((8, 8, 1), index, np.uint8), labels)

    def names(self):
        return [str(index) for index in range(self.count)]


def which(crops, draws):
    return [round(int((crops[draw].labels > 0).sum()) ** 0.5) for draw in draws]


def plain(*maps, generator):
    del generator
    return maps


def test_crowded_images_come_more_often_after_a_first_round_of_all():
    crops = TrainStream(Crowds(), plain, object_sampling_power=0.5, maps=["labels"])
    drawn = which(crops, range(5 + 5 * 200))
    assert sorted(drawn[:5]) == [0, 1, 2, 3, 4]
    shares = np.bincount(drawn[5:]) / 1000
    # an image without objects counts as one with one of them
    np.testing.assert_allclose(shares, np.array([1, 1, 2, 3, 4]) / 11, atol=0.02)


def test_without_crowding_all_images_come_equally_often():
    drawn = which(TrainStream(Crowds(), plain, maps=["labels"]), range(50))
    assert np.bincount(drawn).tolist() == [10] * 5


@pytest.mark.parametrize("cache_gb", [0, 1.0])
def test_a_crowded_sample_is_a_function_of_seed_and_number(cache_gb):
    through = TrainStream(Crowds(), plain, object_sampling_power=1.0)
    before = [through[draw] for draw in range(30)]
    resumed = TrainStream(Crowds(), plain, object_sampling_power=1.0, cache_gb=cache_gb)
    assert all(equal(resumed[draw], before[draw]) for draw in (23, 24, 29, 7))


@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=30),
    st.integers(0, 2**40),
)
def test_each_is_drawn_its_share_of_times_rounded_up_or_down(weights, seed):
    weights = torch.tensor(weights, dtype=torch.float64)
    drawn = spread_draws(weights, torch.Generator().manual_seed(seed))
    times = torch.bincount(drawn, minlength=len(weights))
    share = weights / weights.sum() * len(weights)
    assert len(drawn) == len(weights)
    assert bool((times >= (share - 1e-9).floor()).all())
    assert bool((times <= (share + 1e-9).ceil()).all())


def test_samples_are_of_the_zoomed_image():
    dataset = DrawnDataset("discs", "train", count=1, size=128)
    plain = TrainTransform(crop=64, scale=(1, 1), rotation=0)
    crop = TrainStream(dataset, plain, scale=0.5)[0]
    image, labels = crop.image[0], crop.get("labels")[0]
    truth = dataset[0].labels
    shown = labels[labels >= 0]  # all of it lies in the crop; what it does not fill is void
    assert len(shown) == np.prod(zoomed_size(truth.shape, 0.5))
    assert abs((shown > 0).float().mean() - (truth > 0).mean()) < 0.02
    assert image.shape == (3, 64, 64)


@pytest.mark.parametrize(("share", "shown"), [(0.5, 1.0), (2.25, 1.5), (100, 2.0)])
def test_samples_of_small_objects_are_shown_as_large_as_at_prediction(share, shown):
    dataset = DrawnDataset("discs", "train", count=1, size=64)
    plain = TrainTransform(crop=128, scale=(1, 1), rotation=0)
    wanted = share * float(np.median(areas(dataset[0].labels)[1]))
    labels = TrainStream(dataset, plain, min_object_area=wanted)[0].get("labels")
    assert int((labels >= 0).sum()) == round(64 * shown) ** 2


def test_images_are_read_once_where_memory_allows():
    dataset = Counted()
    crops = stream(dataset)
    first = crops[3]
    for number in range(15):
        crops[number]
    assert sorted(dataset.read) == [0, 1, 2, 3, 4]
    assert equal(crops[3], first)
    one_image = 64 * 64 * (3 * 2 + 4) / 2**30
    frugal = stream(Counted(), cache_gb=2.5 * one_image)
    for number in range(15):
        frugal[number]
    assert len(frugal.cache) == 2


class Annotated(Counted):
    """The same drawings, with a semantic map of their own and two annotators."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        semantic = (sample.labels > 0) * 7
        return replace(sample, semantic=semantic, boundaries=(semantic > 0, semantic < 0))


def test_memory_counts_the_maps_that_are_kept():
    one_image = 64 * 64 * (3 * 2 + 4 + 2 + 4) / 2**30  # image, labels, semantic, boundaries
    for budget, maps, kept in [(2.5, MAPS, 2), (0.9, MAPS, 0), (0.9, ("labels", "location"), 1)]:
        crops = stream(Annotated(), cache_gb=budget * one_image, maps=maps)
        for number in range(10):
            crops[number]
        crops.reader.close()
        assert len(crops.cache) == kept


def test_the_next_samples_are_made_while_one_is_worked_on():
    crops, expected = stream(ahead=3), stream(cache_gb=0)
    for number in range(0, 18, 2):
        assert equal(crops[number], expected[number])
    strided = stream(ahead=3, step=4)
    assert equal(strided[1], expected[1])
    assert list(strided.reader.pending) == [5, 9, 13]
    crops.reader.close()
    strided.reader.close()


def test_without_memory_for_images_none_is_read_before_it_is_asked_for():
    dataset = Counted()
    crops = stream(dataset, cache_gb=0)
    crops[0]
    assert len(dataset.read) == 1
    assert crops.reader.thread is None


@given(draws=st.integers(1, 12), world=st.integers(1, 5), before=st.integers(0, 40))
def test_processes_share_the_numbers_out(draws, world, before):
    parts = [list(DrawSampler(draws, rank, world, before=lambda: before)) for rank in range(world)]
    assert [len(part) for part in parts] == [draws] * world
    joined = sorted(number for part in parts for number in part)
    assert joined == list(range(before * world, (before + draws) * world))


def test_what_was_drawn_before_is_asked_anew_at_each_epoch():
    done = [0]
    sampler = DrawSampler(2, before=lambda: done[0])
    assert list(sampler) == [0, 1]
    done[0] = 5
    assert list(sampler) == [5, 6]
    assert len(sampler) == 2


def test_generators_depend_on_every_number():
    draws = {
        torch.rand((), generator=seeded_generator(a, b, c)).item()
        for a in range(5)
        for b in range(5)
        for c in range(5)
    }
    assert len(draws) == 125
