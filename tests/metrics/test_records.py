from __future__ import annotations

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.metrics.records import Records


def test_records_come_in_the_order_of_ids_whatever_the_order_of_arrival():
    one, two = Records(), Records()
    for records, image in ((one, 10), (two, 9), (one, "b"), (two, "a"), (one, None)):
        records.add(image, image)
    one.merge(two)
    assert one.ordered() == [9, 10, "a", "b", None]
    assert len(one) == 5


def test_an_image_dealt_twice_is_kept_once_and_one_that_differs_refused():
    records = Records()
    records.add((np.array([1, 2]), "a"), image=3)
    records.add((np.array([1, 2]), "a"), image=3)
    assert len(records) == 1
    with pytest.raises(CongealError, match="two different results for 3"):
        records.add((np.array([1, 3]), "a"), image=3)
