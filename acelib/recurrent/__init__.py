"""Sequences: recurrent networks as functions of all their inputs, roll-outs with feedback, and the horizon τ.

A network without a way back from its outputs to its inputs, unfolded in time, is a feed-forward network with one input
per step and channel: ``unfold`` makes it one, and the rest of the package applies. Where the output at one step is the
input at the next, inputs cause each other: ``FeedbackSequences`` answers ``do`` by simulating the network from the
intervened step on. ``time_lag`` measures how far back an output depends on the inputs at all.
"""

from .feedback import FeedbackSequences
from .horizon import TimeLag, time_lag
from .networks import Recurrent, Unfolded, unfold

__all__ = ["FeedbackSequences", "Recurrent", "TimeLag", "Unfolded", "time_lag", "unfold"]
