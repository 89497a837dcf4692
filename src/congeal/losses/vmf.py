"""The von Mises-Fisher losses of SegSort (Hwang et al., ICCV 2019, section 3)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from congeal.autograd import once_differentiable
from congeal.errors import CongealError, unknown
from congeal.losses.memory_bank import PrototypeBank
from congeal.losses.segments import SegmentPrototypes, Segments, check_maps, gather_segments
from congeal.processes import gather_rows, shared_count
from congeal.randomness import image_noise
from congeal.sphere import normalise

__all__ = ["VMFLoss", "VMFNLoss", "vmf_loss", "vmf_n_loss"]

Reduction = Literal["images", "pixels"]
CELLS = 2**22  # of the table of pixels against prototypes, held at once
FAR = 1e-20  # share of the nearest segment below which those of the class are summed by logarithms


def _own_surprise(logits: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Minus the log of the share of a pixel's own segment, and its gradient."""
    index = own[:, None]
    total = logits.logsumexp(1, keepdim=True)  # (n, 1)
    surprise = total - logits.gather(1, index)
    gradient = (logits - total).exp_()  # (n, K)
    gradient.scatter_add_(1, index, torch.full_like(total, -1.0))
    return surprise[:, 0], gradient


def _neighbour_surprise(
    logits: Tensor, own: Tensor, classes: Tensor, alone: Tensor
) -> tuple[Tensor, Tensor]:
    """Minus the log of the share of the other segments of a pixel's class, and its gradient."""
    index = own[:, None]
    kept = logits.gather(1, index).masked_fill(~alone[index], -torch.inf)
    logits = logits.scatter(1, index, kept)  # (n, K)
    same = classes == classes[index]
    gradient = (logits - logits.amax(1, keepdim=True)).exp_()  # (n, K), the largest of a row 1
    alike = gradient * same
    total, near = gradient.sum(1, keepdim=True), alike.sum(1, keepdim=True)
    surprise = total.log() - near.log()
    gradient = gradient.div_(total).addcdiv_(alike, near, value=-1.0)
    far = (near[:, 0] < FAR).nonzero()[:, 0]  # their share may have vanished
    if len(far):
        surprise[far], gradient[far] = _far_surprise(logits[far], same[far])
    return surprise[:, 0], gradient


def _far_surprise(logits: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """The same of pixels that are far from their class, by sums of logarithms."""
    alike = logits.masked_fill(~same, -torch.inf)
    total = logits.logsumexp(1, keepdim=True)  # (n, 1)
    near = alike.logsumexp(1, keepdim=True)
    return total - near, (logits - total).exp_() - (alike - near).exp_()


class _MeanSurprise(torch.autograd.Function):
    """Weighted sum over pixels of -log of the share of the segments they should be near to.

    The gradient is gathered in the forward pass, block by block of pixels, so that no table of
    pixels against prototypes is kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        pixels: Tensor,  # (N, D)
        prototypes: Tensor,  # (K, D)
        own: Tensor,  # (N,)
        weights: Tensor,  # (N,)
        classes: Tensor | None,  # (K,)
        alone: Tensor | None,  # (K,)
        concentration: float,
        learn: bool,
    ) -> Tensor:
        loss = pixels.new_zeros(())
        to_pixels = torch.empty_like(pixels)
        to_prototypes = torch.zeros_like(prototypes)
        block = max(CELLS // max(len(prototypes), 1), 1)
        for start in range(0, len(pixels), block):
            rows = slice(start, start + block)
            logits = concentration * pixels[rows] @ prototypes.T  # (n, K)
            if classes is None or alone is None:
                surprise, gradient = _own_surprise(logits, own[rows])
            else:
                surprise, gradient = _neighbour_surprise(logits, own[rows], classes, alone)
            loss = loss + weights[rows] @ surprise
            if learn:
                gradient *= concentration * weights[rows, None]
                to_pixels[rows] = gradient @ prototypes
                to_prototypes += gradient.T @ pixels[rows]
        ctx.save_for_backward(to_pixels, to_prototypes)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [
            once_differentiable(grads[0] * gradient, "vMF loss") for gradient in ctx.saved_tensors
        ]
        return *gradients, None, None, None, None, None, None


def _drawn(image: Tensor, samples: int, generator: torch.Generator | None) -> Tensor:
    """Indices of at most ``samples`` pixels of each image; ``image`` ``(N,)`` never falls."""
    counts = torch.bincount(image)
    noise = image_noise(counts.tolist(), generator).to(image.device)
    order = torch.argsort(image + noise)  # image by image, shuffled inside
    rank = torch.arange(len(image), device=image.device) - (counts.cumsum(0) - counts)[image]
    return order[rank < samples]


def _weights(image: Tensor, batch: int, reduction: Reduction, like: Tensor) -> Tensor:
    """``(N,)`` what each pixel counts, so that the loss is the mean that is asked for."""
    if reduction == "pixels":
        count = shared_count(torch.tensor(len(image), device=like.device))
        return (1.0 / count.to(like.dtype)).expand(len(image))
    return 1.0 / (batch * torch.bincount(image).to(like.dtype))[image]


def _mean_surprise(
    found: Segments,
    prototypes: Tensor,
    first: int,
    classes: Tensor | None,
    batch: int,
    concentration: float,
    samples: int | None,
    reduction: Reduction,
    generator: torch.Generator | None,
) -> Tensor:
    """Mean surprise of pixels whose own prototypes are those from row ``first`` on."""
    pixels, own = found.pixels, found.own
    if samples is not None:
        chosen = _drawn(found.images[own], samples, generator)
        pixels, own = pixels[chosen], own[chosen]
    weights = _weights(found.images[own], batch, reduction, pixels)
    alone = None
    if classes is not None:
        _, kind, counts = torch.unique(classes, return_inverse=True, return_counts=True)
        alone = counts[kind] == 1
    learn = torch.is_grad_enabled() and pixels.requires_grad
    loss: Tensor = _MeanSurprise.apply(
        pixels, prototypes, own + first, weights, classes, alone, concentration, learn
    )
    return loss


def _check(concentration: float, samples: int | None, reduction: str) -> None:
    if not 0 < concentration < float("inf"):
        raise CongealError(f"expected a concentration above 0, got {concentration}")
    if samples is not None and samples < 1:
        raise CongealError(f"expected at least 1 sample, got {samples}")
    if reduction not in ("images", "pixels"):
        raise unknown("reduction", reduction, ["images", "pixels"])


def vmf_loss(
    embedding: Tensor,
    segments: Tensor,
    *,
    concentration: float = 10.0,
    background: bool = False,
    samples: int | None = None,
    reduction: Reduction = "images",
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Pull each pixel to its own segment and away from all others of the batch; no classes.

    .. math:: -\log \frac{\exp(\kappa \mu_c^T v_i)}{\sum_l \exp(\kappa \mu_l^T v_i)}

    with c the segment of pixel i, l over the segments of all images of the batch, and
    :math:`\mu` their mean directions, through which the gradient flows as well. This is SegSort's
    loss without supervision, where the segments come from an oversegmentation.

    Memory does not grow with the product of pixels and segments. The gradient can be taken once,
    not twice.

    Args:
        embedding: ``(B, D, *S)``, any length (it is normalised here, in float32 or better).
        segments: ``(B, *S)`` int64: -1 void, 0 no segment, 1.. the segments of each image. Equal
            labels in two images are two segments, in one image one, connected or not.
        concentration: kappa of the von Mises-Fisher distributions (10 in the paper's code).
        background: whether label 0 is one more segment of its image, or takes no part.
        samples: pixels drawn from each image for the mean (None: all). Prototypes are always
            those of all pixels.
        reduction: ``"images"`` takes the mean over the pixels of each image, then over the images
            of the batch; ``"pixels"`` that over the pixels of the batch, as the paper's code does.
        generator: CPU generator of the draw.

    Returns:
        A scalar, at least 0.

    Raises:
        CongealError: shapes do not fit, segments are not integers, or a value is out of range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> embedding = torch.randn(2, 8, 6, 6, requires_grad=True)
        >>> segments = 1 + torch.arange(72).reshape(2, 6, 6) % 3
        >>> loss = vmf_loss(embedding, segments)
        >>> loss.backward()
        >>> loss.item() > 0
        True
    """
    check_maps(embedding, segments=segments)
    _check(concentration, samples, reduction)
    with torch.autocast(embedding.device.type, enabled=False):
        found = gather_segments(embedding, segments, background=background, unit=True)
        (prototypes,), first = gather_rows(normalise(found.sums))
        how = (len(segments), concentration, samples, reduction, generator)
        return _mean_surprise(found, prototypes, first, None, *how)


def _neighbour_loss(
    embedding: Tensor,
    segments: Tensor,
    semantic: Tensor,
    bank: PrototypeBank | None,
    concentration: float,
    background: bool,
    samples: int | None,
    reduction: Reduction,
    generator: torch.Generator | None,
) -> tuple[Tensor, SegmentPrototypes]:
    check_maps(embedding, segments=segments, semantic=semantic)
    _check(concentration, samples, reduction)
    with torch.autocast(embedding.device.type, enabled=False):
        found = gather_segments(embedding, segments, semantic, background=background, unit=True)
        now = SegmentPrototypes(normalise(found.sums), found.classes, found.images)
        (prototypes, classes), first = gather_rows(now.prototypes, now.classes)
        if bank is not None:
            held, held_classes = bank.read(prototypes)
            prototypes = torch.cat([prototypes, held])
            classes = torch.cat([classes, held_classes])
        how = (len(segments), concentration, samples, reduction, generator)
        return _mean_surprise(found, prototypes, first, classes, *how), now


def vmf_n_loss(
    embedding: Tensor,
    segments: Tensor,
    semantic: Tensor,
    *,
    concentration: float = 10.0,
    bank: PrototypeBank | None = None,
    background: bool = False,
    samples: int | None = None,
    reduction: Reduction = "images",
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Pull each pixel to the other segments of its class and away from the other classes.

    .. math:: -\log \frac{\sum_{s \in C^+} \exp(\kappa \mu_s^T v_i)}
                         {\sum_{l \ne c} \exp(\kappa \mu_l^T v_i)}

    with c the segment of pixel i, :math:`C^+` the other segments of its class, and l over all
    segments but c (soft neighbourhood assignment). The own segment is left out above and below,
    since a pixel is near to the mean it has part in. A segment that is the only one of its class
    stands in for the missing neighbours: it then counts above and below, which is
    :func:`vmf_loss` for its pixels. Hence the loss is never negative.

    A segment is a label of ``segments`` cut by ``semantic``, in one image (see
    :func:`congeal.losses.intersect_segments`); its mean direction carries a gradient. Those of a
    ``bank`` join as further segments of their classes, without a gradient. The bank is only read;
    fill it with ``bank.push(*segment_prototypes(embedding, segments, semantic)[:2])`` after the
    step, or use :class:`VMFNLoss`, which does.

    Args:
        embedding: ``(B, D, *S)``, any length (it is normalised here, in float32 or better).
        segments: ``(B, *S)`` int64: -1 void, 0 no segment, 1.. the clusters of each image.
        semantic: ``(B, *S)`` int64 class of each pixel (0, the background, is a class); -1 void.
        concentration: kappa of the von Mises-Fisher distributions (10 in the paper's code).
        bank: segments of earlier batches.
        background: whether label 0 of ``segments`` is one more cluster, or takes no part.
        samples: pixels drawn from each image for the mean (None: all). Prototypes are always
            those of all pixels.
        reduction: ``"images"`` or ``"pixels"``, as in :func:`vmf_loss`.
        generator: CPU generator of the draw.

    Returns:
        A scalar, at least 0.

    Raises:
        CongealError: shapes do not fit, maps are not integers, or a value is out of range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> embedding = torch.randn(2, 8, 6, 6, requires_grad=True)
        >>> clusters = 1 + torch.arange(72).reshape(2, 6, 6) % 5
        >>> semantic = torch.arange(72).reshape(2, 6, 6) // 24 - 1
        >>> loss = vmf_n_loss(embedding, clusters, semantic)
        >>> loss.backward()
        >>> loss.item() > 0
        True
    """
    how = (bank, concentration, background, samples, reduction, generator)
    return _neighbour_loss(embedding, segments, semantic, *how)[0]


class VMFLoss(nn.Module):
    """:func:`vmf_loss` as a Module; see there for the arguments.

    Example:
        >>> loss = VMFLoss(concentration=10.0)
        >>> loss(torch.ones(1, 4, 5, 5), torch.ones(1, 5, 5, dtype=torch.int64)).item()
        0.0
    """

    def __init__(
        self,
        *,
        concentration: float = 10.0,
        background: bool = False,
        samples: int | None = None,
        reduction: Reduction = "images",
    ) -> None:
        super().__init__()
        self.concentration = concentration
        self.background = background
        self.samples = samples
        self.reduction: Reduction = reduction

    def forward(
        self, embedding: Tensor, segments: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the loss of ``(B, D, *S)`` embeddings and ``(B, *S)`` segments, a scalar."""
        return vmf_loss(
            embedding,
            segments,
            concentration=self.concentration,
            background=self.background,
            samples=self.samples,
            reduction=self.reduction,
            generator=generator,
        )


class VMFNLoss(nn.Module):
    """:func:`vmf_n_loss` as a Module with a memory bank; see there for the arguments.

    In training mode each call reads the bank, then puts its own segments into it; in evaluation
    mode the bank is read and left as it is. ``loss.bank.reset()`` empties it.

    Args:
        concentration: kappa of the von Mises-Fisher distributions.
        memory: how many earlier batches the bank keeps (2 in the paper's code); 0 for none.
        background: whether label 0 of the segments is one more cluster.
        samples: pixels drawn from each image for the mean (None: all).
        reduction: ``"images"`` or ``"pixels"``.

    Example:
        >>> loss = VMFNLoss(memory=2)
        >>> maps = torch.tensor([[[1, 1, 2]]]), torch.tensor([[[0, 3, 3]]])
        >>> loss(torch.ones(1, 4, 1, 3), *maps).item() > 0, len(loss.bank)
        (True, 3)
    """

    def __init__(
        self,
        *,
        concentration: float = 10.0,
        memory: int = 2,
        background: bool = False,
        samples: int | None = None,
        reduction: Reduction = "images",
    ) -> None:
        super().__init__()
        self.concentration = concentration
        self.background = background
        self.samples = samples
        self.reduction: Reduction = reduction
        self.bank = PrototypeBank(memory)

    def forward(
        self,
        embedding: Tensor,
        segments: Tensor,
        semantic: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the loss of ``(B, D, *S)`` embeddings and two ``(B, *S)`` maps, a scalar."""
        settings = (self.concentration, self.background, self.samples, self.reduction, generator)
        loss, now = _neighbour_loss(embedding, segments, semantic, self.bank, *settings)
        if self.training:
            self.bank.push(now.prototypes, now.classes)
        return loss
