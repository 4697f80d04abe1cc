"""The warnings of acelib, in one place so that a user can silence or escalate one kind without the others."""


class ApproximationWarning(UserWarning):
    """A value rests on an approximation whose error is unknown, or is larger than it should be."""


class ExtrapolationWarning(UserWarning):
    """A value was asked for outside the interval on which it was estimated."""


class SupportWarning(UserWarning):
    """Most rows of an intervention lie far from the data, so the model was asked about inputs it never saw."""


class ConstantFeatureWarning(UserWarning):
    """A feature is constant in the data and has no domain of its own, so its effect is 0 by definition."""
