"""Everything once: draw, train, evaluate, segment photographs, and show it on a page.

Example:
    >>> from congeal.demo import PHOTOGRAPHS
    >>> [photograph.name for photograph in PHOTOGRAPHS]
    ['coins', 'tissue', 'galaxies']
"""

from congeal.demo.photographs import PHOTOGRAPHS
from congeal.demo.run import Demo, run_demo

__all__ = ["PHOTOGRAPHS", "Demo", "run_demo"]
