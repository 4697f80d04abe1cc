"""Path interventions: the nodes inside a network that carry a class, from its output down to the input.

Weights between a node and the nodes it feeds are removed or attenuated, and the change of the class output is tested
over many inputs (Ahmad, Béreux, Baret, Hashemi and Lecue, 2023). ``treatment_effects`` does so for one layer,
``explanatory_graph`` from the output down through all of them; ``node_maps`` and ``class_map`` show where in an image
the necessary nodes act; ``fidelity``, ``repair`` and ``reliability`` test what is claimed of them.
"""

from .effects import treatment_effects
from .graph import ExplanatoryGraph, correctly_classified, explanatory_graph
from .maps import NodeMaps, class_map, extrema, node_maps
from .results import TreatmentEffects
from .studies.fidelity import Fidelity, fidelity
from .studies.masking import masked
from .studies.reliability import Reliability, reliability
from .studies.repair import Repair, repair
from .trace import trace_layers

__all__ = [
    "ExplanatoryGraph",
    "Fidelity",
    "NodeMaps",
    "Reliability",
    "Repair",
    "TreatmentEffects",
    "class_map",
    "correctly_classified",
    "explanatory_graph",
    "extrema",
    "fidelity",
    "masked",
    "node_maps",
    "reliability",
    "repair",
    "trace_layers",
    "treatment_effects",
]
