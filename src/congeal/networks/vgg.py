"""Layers of VGG-16, shared by :class:`Dilation` and :class:`SegNet`."""

from __future__ import annotations

__all__ = ["VGG16"]

# Channels of the 3 x 3 convolutions by stage (Simonyan & Zisserman 2015, Table 1, column D).
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
