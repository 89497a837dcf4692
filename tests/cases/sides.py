"""A pair of truth and prediction by the names under which every metric takes them."""


def sides(true, pred):
    return {"prediction": pred, "truth": true}
