"""A pretended accelerator, on which the tests of devices run where there is none.

Its tensors say that they live on ``xla:0`` (which stands for CUDA) or ``mps:0``, are computed on the CPU, and refuse
what torch refuses there: two devices in one operation, an index of another device, a CPU generator, ``.numpy()``; on
MPS also float64, complex128 and the operations without an MPS kernel, by torch's own list of kernels.

Nothing is registered with torch: the tensors are a subclass and the rules a dispatch mode, active inside ``pretend``
and in the thread that entered it. What is not pretended: speed, memory, streams, TF32 and the accelerator's rounding,
and kernels that only exist there (cuDNN).
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

# What torch's C++ code is told: a device without a driver whose backward passes run in the calling thread.
STAND_IN = torch.device("lazy", 0)

_COPIES = {"_to_copy", "copy_", "copy"}
_INDEXED = {"index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put"}
_TAKES_NUMBERS = {"where", "fill", "fill_", "masked_fill", "masked_fill_"}  # beside what torch tags as elementwise
_BROAD = (torch.float64, torch.complex128)
# Run on the CPU by torch itself (ATen/mps/MPSFallback.mm), or chosen otherwise on MPS before a kernel is looked up.
_RUNS_ANYWAY = {"_linalg_svd", "embedding_renorm_", "col2im", "_fused_sdp_choice"}
# Composed of operations that have no MPS kernel.
_COMPOSED_WITHOUT = {"linalg_lstsq", "linalg_lstsq.out"}


@dataclass(frozen=True)
class Accelerator:
    """A kind of device: what ``tensor.device`` says, and whether it has float64 and every operation."""

    type: str
    complete: bool

    @property
    def device(self) -> torch.device:
        """Its first device."""
        return torch.device(self.type, 0)


CUDA = Accelerator("xla", complete=True)  # the name "cuda" would start a driver
MPS = Accelerator("mps", complete=False)


class PretendedTensor(torch.Tensor):
    """A tensor on the pretended device: a wrapper around the CPU tensor that it is computed on."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor, accelerator: Accelerator):
        """Return the wrapper, of the same size, strides and dtype."""
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=STAND_IN,
            requires_grad=inner.requires_grad,
        )
        self.inner, self.accelerator = inner, accelerator
        return self

    def __init__(self, inner: torch.Tensor, accelerator: Accelerator):
        """Leave everything to ``__new__``."""

    device = property(lambda self: self.accelerator.device)
    is_cpu = property(lambda self: False)
    is_mps = property(lambda self: self.accelerator.type == "mps")

    @property
    def data(self) -> torch.Tensor:
        """The same memory without a graph; setting it gives this tensor the memory of another."""
        return self.detach()

    @data.setter
    def data(self, other: PretendedTensor) -> None:
        torch.Tensor.data.__set__(self, other)
        self.inner = other.inner

    def get_device(self) -> int:
        """Return the number of the device."""
        return 0

    def numpy(self, *args, **options):
        """Refuse, in torch's words."""
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first."
        )

    __array__ = numpy

    def untyped_storage(self):
        """Return the memory behind the tensor, which views share."""
        return self.inner.untyped_storage()

    def tolist(self):
        """Return the numbers, as torch does from every device."""
        return self.cpu().tolist()

    def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False):
        """Return a tensor of these numbers beside this one."""
        return torch.tensor(data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)

    def __deepcopy__(self, memo):
        """Return a copy on the same device."""
        if id(self) not in memo:
            copy = self.detach().clone().requires_grad_(self.requires_grad)
            copy._is_param = getattr(self, "_is_param", False)
            memo[id(self)] = copy
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        """Return what pickle stores: the numbers and the device, as torch does."""
        return _restored, (self.detach().cpu(), self.accelerator)

    def __repr__(self, *, tensor_contents=None):
        """Return the numbers and the device."""
        return f"{self.inner!r} on {self.device}"

    def __format__(self, spec):
        """Return a number's text, as torch formats scalars."""
        return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        """Compute on the CPU what the rules allow."""
        return _run(func, args, kwargs or {}, None)


class _Rules(TorchDispatchMode):
    """Everything that happens inside ``pretend``, also where tensors are made."""

    def __init__(self, accelerator: Accelerator):
        super().__init__()
        self.accelerator = accelerator

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, self.accelerator)


@contextlib.contextmanager
def pretend(accelerator: Accelerator) -> Iterator[torch.device]:
    """Give the machine this accelerator for a while; its device comes back."""
    lifts = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=) makes a CPU tensor and moves it
    try:
        with _Rules(accelerator):
            yield accelerator.device
    finally:
        torch._C._set_only_lift_cpu_tensors(lifts)


def _restored(inner: torch.Tensor, accelerator: Accelerator) -> torch.Tensor:
    return PretendedTensor(inner, accelerator)


def _run(func, args, kwargs, accelerator: Accelerator | None):
    """Return what an operation gives, on the device that torch would give it; raise where torch would."""
    leaves = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    there = [t for t in leaves if isinstance(t, PretendedTensor)]
    accelerator = there[0].accelerator if there else accelerator
    _refuse_mixing(func, args, leaves, there)
    onto, kwargs = _where(func, args, kwargs, there, accelerator)
    if onto and kwargs.get("generator") is not None:  # there is no other generator than those of the CPU
        raise RuntimeError(f"Expected a '{accelerator.type}' device type for generator but found 'cpu'")
    if not accelerator.complete and (onto or there):
        _refuse_missing(func, args, kwargs)
    out = _on_the_cpu(func, *tree_map(_bare, (args, kwargs)))
    if not onto:
        return out
    if not accelerator.complete and any(isinstance(t, torch.Tensor) and t.dtype in _BROAD for t in tree_leaves(out)):
        raise TypeError(
            "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
            "Please use float32 instead."
        )
    out = tree_map(lambda t: PretendedTensor(t, accelerator) if type(t) is torch.Tensor else t, out)
    return out if func.name().startswith("aten::_to_copy") else return_and_correct_aliasing(func, args, kwargs, out)


def _bare(value):
    return value.inner if isinstance(value, PretendedTensor) else value


def _on_the_cpu(func, args, kwargs):
    if func.overloadpacket is torch.ops.aten._efficientzerotensor:  # a zero without memory, which few kernels read
        return torch.zeros(*args, **kwargs)
    return func(*args, **kwargs)


def _where(func, args, kwargs, there, accelerator) -> tuple[bool, dict]:
    """Return whether the result lives on the accelerator, and the arguments with the CPU in its place."""
    name = func.overloadpacket.__name__
    if kwargs.get("device") is not None:
        device = torch.device(kwargs["device"])
        onto = accelerator is not None and device.type in (accelerator.type, STAND_IN.type)
        asked = {key: value for key, value in kwargs.items() if key != "pin_memory"}
        return onto, {**asked, "device": torch.device("cpu")} if onto else asked
    if name in ("copy_", *_INDEXED):
        return isinstance(args[0], PretendedTensor), kwargs
    return bool(there), kwargs


def _refuse_mixing(func, args, leaves, there) -> None:
    """Raise where tensors of two devices meet; a number (a CPU tensor without dimensions) may join elementwise work."""
    name = func.overloadpacket.__name__
    apart = [t for t in leaves if not isinstance(t, PretendedTensor) and t.device.type == "cpu"]
    if not there or not apart or name in _COPIES:
        return
    if name in _INDEXED:  # a CPU index may be used everywhere, an index of the accelerator only there
        if not isinstance(args[0], PretendedTensor):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        value = args[2] if "put" in name else None
        apart = [value] if isinstance(value, torch.Tensor) and not isinstance(value, PretendedTensor) else []
    if any(t.ndim > 0 for t in apart) or (apart and name not in _INDEXED and not _elementwise(func)):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{there[0].device} and cpu! (when checking arguments for {name})"
        )


def _elementwise(func) -> bool:
    return torch.Tag.pointwise in func.tags or func.overloadpacket.__name__ in _TAKES_NUMBERS


def _refuse_missing(func, args, kwargs) -> None:
    """Raise for an operation without an MPS kernel, and for a copy that would have to make float64 on the device."""
    name = func.name().removeprefix("aten::")
    base = func.overloadpacket.__name__
    if base not in _RUNS_ANYWAY and (name in without_mps_kernel() or name in _COMPOSED_WITHOUT):
        raise NotImplementedError(f"The operator 'aten::{name}' is not currently implemented for the MPS device.")
    # A copy converts before it leaves the device (ATen/native/mps/operations/Copy.mm).
    target = kwargs.get("dtype") if base == "_to_copy" else args[0].dtype if base == "copy_" else None
    source = args[1] if base == "copy_" else args[0] if args else None
    if target in _BROAD and isinstance(source, PretendedTensor) and source.dtype != target:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")


@functools.cache
def without_mps_kernel() -> frozenset[str]:
    """Return the operations that have a CPU kernel and no MPS kernel, from the list that comes with torch."""
    spec = util.find_spec("torchgen")
    file = Path(spec.origin).parent / "packaged/ATen/native/native_functions.yaml" if spec and spec.origin else None
    if file is None or not file.exists():
        return frozenset({"_linalg_eigh", "_linalg_eigh.eigenvalues"})
    kernels, delegates = {}, {}
    for entry in re.split(r"^- func: ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name = entry.split("(", 1)[0]
        section = re.search(r"^  dispatch:\n((?:    .*\n|\s*#.*\n)+)", entry, re.MULTILINE)
        lines = [line.split("#")[0] for line in section.group(1).splitlines()] if section else []
        kernels[name] = {key.strip() for line in lines if ":" in line for key in line.split(":")[0].split(",")}
        delegate = re.search(r"^  structured_delegate: (\S+)", entry, re.MULTILINE)
        delegates[name] = delegate.group(1) if delegate else name
    own = {name: kernels.get(delegates[name], set()) for name in kernels}
    composite = {name for name, keys in own.items() if any(key.startswith("Composite") for key in keys)}
    return frozenset(
        name for name, keys in own.items() if "CPU" in keys and "MPS" not in keys and name not in composite
    )
