"""Libraries that one method needs and the package does not: asked for when they are used, missed in one sentence."""

from __future__ import annotations

import importlib
from typing import Any

INSTALLED_AS = {"sklearn": "scikit-learn"}
"""What pip calls a module, where that is not its own name."""


def optional(module: str, what: str, *, hint: str = "") -> Any:
    """Return a module that may be missing.

    Args:
        module: its full name, such as ``"pandas"`` or ``"zuko.transforms"``.
        what: what needs it, the subject of the sentence, such as ``"a data frame"``.
        hint: what else helps, put at the end of the sentence, such as ``"or use LinearModel"``.

    Raises:
        ImportError: if it is not installed, with the command that installs it; or if it is and cannot be imported,
            with the reason.

    Example:
        >>> assert optional("math", "a root").sqrt(4.0) == 2.0
        >>> try:
        ...     optional("no_such_module", "a wish")
        ... except ImportError as error:
        ...     assert str(error).endswith("which is not installed; run `pip install no_such_module`")
    """
    top = module.partition(".")[0]
    package, more = INSTALLED_AS.get(top, top), f"; {hint}" if hint else ""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == top
        said = f"is not installed; run `pip install {package}`" if absent else f"cannot be imported ({error})"
        raise ImportError(f"{what} needs {package}, which {said}{more}") from error
