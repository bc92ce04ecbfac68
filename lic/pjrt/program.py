"""A function that TensorFlow lowered to HLO, as a function of JAX.

The module is translated to StableHLO, cleaned, and put into what `jax.jit` traces, so that JAX compiles it for whatever
device it has, and the state is updated in place.

Gotchas:
* JAX's own types of 64 bits are switched on: the counts of steps and the seed are int64.
* A call costs the host about 6 microseconds for each array of the state, of which there are thousands: 5 to 25 ms, more
  than a GPU needs for a step of a small model. So one call can make several steps, in a loop on the device.
* What differs between versions of jax stands in `_stablehlo` and `_keep_results`; 0.4.30 and 0.12.0 were tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import func

jax.config.update("jax_enable_x64", True)

_PRODUCTS = ("stablehlo.convolution", "stablehlo.dot_general", "stablehlo.dot")


class Program:
    """A lowered function of arguments and state.

    Args:
      hlo: a serialised HLO proto.
      about: what its inputs and outputs are (`lic.step_export`).
      bfloat16: whether convolutions and matrix products round what they multiply to bfloat16.
      each: names of the arguments that each step of `steps` has one of.
    """

    def __init__(self, hlo: bytes, about: dict, bfloat16: bool = False, each: Sequence[str] = ()):
        self.about, self._bfloat16, self._module = about, bfloat16, _stablehlo(hlo)
        self._each = frozenset(each)
        outputs = [jax.core.ShapedArray(o["shape"], np.dtype(o["dtype"])) for o in about["outputs"].values()]
        self._inlined = Primitive("exported_step")
        self._inlined.multiple_results = True
        self._inlined.def_abstract_eval(lambda *_: outputs)
        mlir.register_lowering(self._inlined, self._lower)
        self._run = jax.jit(self._bind, donate_argnums=0)
        self._run_steps = jax.jit(self._loop, donate_argnums=0)

    def steps(self, count: int, state: dict, **arguments) -> tuple[dict, dict]:
        """`count` steps in one call; returns (the state after, the other results, stacked).

        Args:
          arguments: those of `each` stacked, for at least as many steps; only their length is compiled for, no count.
        """
        state, results = self._run_steps(state, np.int32(count), arguments)
        return state, {name: values[:count] for name, values in results.items()}

    def __call__(self, state: dict, **arguments) -> tuple[dict, dict]:
        """(the state after, the other results); the state before is used up."""
        return self._run(state, [arguments[name] for name in self.about["arguments"]])

    @property
    def device(self) -> str:
        """Where it runs, in words."""
        return jax.devices()[0].device_kind

    @property
    def is_processor(self) -> bool:
        """Whether that is the host itself."""
        return jax.devices()[0].platform == "cpu"

    def _bind(self, state, arguments):
        values = self._inlined.bind(*arguments, *(state[name] for name in self.about["inputs"]))
        outputs = dict(zip(self.about["outputs"], values))
        return {name: outputs.pop(name) for name in state}, outputs

    def _loop(self, state, count, arguments):
        most = len(arguments[next(iter(self._each))])
        results = {name: jax.numpy.zeros((most, *o["shape"]), o["dtype"]) for name, o in self.about["outputs"].items()
                   if name not in state}

        def step(i, carried):
            state, results = carried
            now = [arguments[name][i] if name in self._each else arguments[name] for name in self.about["arguments"]]
            state, new = self._bind(state, now)
            return state, {name: values.at[i].set(new[name]) for name, values in results.items()}

        return jax.lax.fori_loop(0, count, step, (state, results))

    def _lower(self, context, *values):
        module = ir.Module.parse(self._module)
        _keep_results(module, len(self.about["outputs"]))
        _drop_mhlo(module)
        if self._bfloat16:
            _multiply_in_bfloat16(module)
        results = _main(module).type.results
        name = mlir.merge_mlir_modules(context.module_context.module, "exported_step", module)
        return func.CallOp(results, ir.FlatSymbolRefAttr.get(name), list(values)).results


def _stablehlo(hlo: bytes) -> str | bytes:
    try:
        from jax.extend.mlir import hlo_to_stablehlo
    except ImportError:   # of an older jax
        from jaxlib import xla_client
        return xla_client._xla.mlir.xla_computation_to_mlir_module(xla_client.XlaComputation(hlo))
    return hlo_to_stablehlo(hlo)


def _main(module):
    return ir.SymbolTable(module.operation)["main"]


def _keep_results(module, count: int) -> None:
    """Has `main` return its first results only; older versions of jaxlib make one tuple of them."""
    main = _main(module)
    block = main.regions[0].blocks[0]
    end = block.operations[len(block.operations) - 1]
    values = list(end.operands)
    if len(values) == 1 and str(values[0].type).startswith("tuple"):
        values = list(values[0].owner.operands)
    with ir.InsertionPoint(end), ir.Location.unknown():
        func.ReturnOp(values[:count])
    end.erase()
    signature = ir.FunctionType.get(main.type.inputs, [v.type for v in values[:count]])
    main.attributes["function_type"] = ir.TypeAttr.get(signature)


def _operations(operation) -> Iterator:
    """All operations inside one; each may be erased when it comes."""
    for region in operation.regions:
        for block in region.blocks:
            for inner in list(block.operations):
                yield from _operations(inner.operation)
                yield inner.operation


def _drop_mhlo(module) -> None:
    """What StableHLO does not know: the copy that each assigned variable has, and attributes."""
    for name in _attributes(module.operation):
        if name.startswith("mhlo."):
            del module.operation.attributes[name]
    for operation in _operations(module.operation):
        if operation.name == "mhlo.copy":
            operation.results[0].replace_all_uses_with(operation.operands[0])
            operation.erase()


def _attributes(operation) -> list[str]:
    return [getattr(a, "name", a) for a in operation.attributes]   # newer versions of jaxlib go over the names


def _multiply_in_bfloat16(module) -> None:
    """Casts the operands of float32 convolutions and matrix products; matrix products are still summed in float32."""
    wide, narrow = ir.F32Type.get(), ir.BF16Type.get()
    for operation in _operations(module.operation):
        if operation.name in _PRODUCTS and ir.RankedTensorType(operation.results[0].type).element_type == wide:
            sums = narrow if operation.name == "stablehlo.convolution" else wide
            with ir.InsertionPoint(operation), ir.Location.unknown():
                _replace(operation, [_cast(v, narrow) for v in operation.operands], sums)


def _cast(value, element_type):
    kind = ir.RankedTensorType.get(ir.RankedTensorType(value.type).shape, element_type)
    return value if value.type == kind else ir.Operation.create(
        "stablehlo.convert", results=[kind], operands=[value]).results[0]


def _replace(operation, operands, element_type) -> None:
    """Puts the same operation on other operands in its place, with a result of another type that is cast back."""
    before = ir.RankedTensorType(operation.results[0].type)
    new = ir.Operation.create(
        operation.name, results=[ir.RankedTensorType.get(before.shape, element_type)], operands=operands,
        attributes={name: operation.attributes[name] for name in _attributes(operation)})
    operation.results[0].replace_all_uses_with(_cast(new.results[0], before.element_type))
    operation.erase()
