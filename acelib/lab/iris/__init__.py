"""Chapter 4: the Iris experiment."""

from .experiment import IrisRun, boundary_point, rank_agreement, saliency, train_iris

__all__ = ["IrisRun", "boundary_point", "rank_agreement", "saliency", "train_iris"]
