"""The error for an operation that a way of differentiating cannot pass through."""

from __future__ import annotations


class UnsupportedOperation(RuntimeError):
    """An operation inside the model has no derivative rule for the chosen route.

    Attributes:
        operation: the operation's name, as far as torch tells it.
        route: the route, or routes, that stopped at it.
    """

    def __init__(self, operation: str, route: str, remedy: str):
        self.operation, self.route = operation, route
        super().__init__(f"the route {route} cannot differentiate {operation} twice: {remedy}")
