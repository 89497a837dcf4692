"""The demo: train on drawn sticks, evaluate, segment photographs, and write a page with pictures.

Example:
    >>> from congeal.demo import PHOTOGRAPHS
    >>> [photograph.name for photograph in PHOTOGRAPHS]
    ['coins', 'tissue', 'galaxies']
"""

from congeal.demo.photographs import PHOTOGRAPHS
from congeal.demo.run import Demo, run_demo

__all__ = ["PHOTOGRAPHS", "Demo", "run_demo"]
