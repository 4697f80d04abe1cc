"""Other libraries' hands: their estimators, networks, problems and models in, acelib's results out.

Each file serves one library, which is imported when it is first used; where it is missing, one sentence says so.
"""

from .programs import load_network

__all__ = ["load_network"]
