"""Tables and figures of Deep Variational Instance Segmentation, rebuilt on drawn scenes."""

from congeal.experiments.dvis.capacity import draw_dvis_capacity
from congeal.experiments.dvis.contours import draw_dvis_table8
from congeal.experiments.dvis.cost import draw_dvis_table5
from congeal.experiments.dvis.crowds import draw_dvis_table6
from congeal.experiments.dvis.iou_share import draw_dvis_figure5
from congeal.experiments.dvis.scores import draw_dvis_table1
from congeal.experiments.dvis.unseen import draw_dvis_figure6
from congeal.experiments.dvis.windows import draw_dvis_table7

__all__ = ["DVIS_EXPERIMENTS"]

DVIS_EXPERIMENTS = {
    "table1": (draw_dvis_table1, "AP^r at IoU .5 to .9 and both of its averages; trained"),
    "table5": (draw_dvis_table5, "floating-point operations of every part, at the paper's size"),
    "table6": (draw_dvis_table6, "candidates of an image against its number of objects; trained"),
    "table7": (draw_dvis_table7, "AP^r against the range of the window of pairs; trained"),
    "table8": (
        draw_dvis_table8,
        "contour F1 without and with Mumford-Shah, quantisation; trained",
    ),
    "figure5": (draw_dvis_figure5, "AP^r against the share of predicted IoU in the score; trained"),
    "figure6": (draw_dvis_figure6, "objects of classes never seen in training; trained"),
    "capacity": (draw_dvis_capacity, "objects found against objects in an image, 2 to 64; trained"),
}
