"""Reading images with their objects: folders, COCO files, known packs, and drawn scenes.

Example:
    >>> from congeal.data import open_dataset
    >>> open_dataset("discs", "val")
    <discs (val): 32 images>
"""
