"""SegSort (Hwang et al., ICCV 2019): segments by k-means, classes by retrieval."""

from congeal.methods.explanation import Explanation, Match
from congeal.methods.segsort.config import SegSortConfig
from congeal.methods.segsort.model import SegSort

__all__ = ["Explanation", "Match", "SegSort", "SegSortConfig"]
