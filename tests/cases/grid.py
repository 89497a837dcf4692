"""Images whose objects are all of one size."""

import numpy as np

from congeal.data.sample import Dataset, Sample


class Grid(Dataset):
    """Images of square objects in rows."""

    name, split = "grid", "train"

    def __init__(self, per_side, side, images=3):
        labels = np.arange(1, per_side**2 + 1).reshape(per_side, per_side)
        self.labels = np.zeros((per_side * (side + 4),) * 2, np.int64)
        for row in range(per_side):
            for column in range(per_side):
                y, x = row * (side + 4), column * (side + 4)
                self.labels[y : y + side, x : x + side] = labels[row, column]
        self.images = images

    def __len__(self):
        return self.images

    def __getitem__(self, index):
        if index >= self.images:
            raise IndexError(index)
        return Sample(f"{index}", (self.labels > 0).astype(np.uint8)[..., None], self.labels)

    def names(self):
        return [str(index) for index in range(self.images)]
