"""The ways to compute on one machine that stand for different machines: name, environment, switches, kind.

Each runs in a process of its own, because TensorFlow reads its environment once and sets its threads once.

Gotchas:
* What the environment says of TensorFlow, oneDNN, XLA and OpenMP is dropped before a configuration's own is added, so
  that the table is all there is. GPUs are hidden.
* A configuration that the processor can't tell from another (AMX where there is none) shows nothing: the report
  says which computed the same.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

from lic.errors import UsageError

_OURS = ("TF_", "ONEDNN_", "DNNL_", "XLA_", "OMP_", "KMP_", "MKL_")   # prefixes of variables that change arithmetic


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One way to compute.

    Attributes:
      name: as in `--configurations`.
      environment: variables of the process.
      switches: fields of `config.Runtime`.
      kind: "python" (the model as it is), "stored" (the graphs beside its weights, where there are any), "saved"
        (exported, then read back) or "batch" (several pictures at once).
    """

    name: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    switches: Mapping[str, object] = dataclasses.field(default_factory=dict)
    kind: str = "python"

    def variables(self) -> dict[str, str]:
        """The whole environment of the process."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        return {**inherited, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", **self.environment}


_NO_ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "0"}
_ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "1"}


def _isa(name: str) -> dict[str, str]:
    return {**_ONEDNN, "ONEDNN_MAX_CPU_ISA": name}


CONFIGURATIONS = (
    Configuration("threads-1", switches={"threads": 1}),
    Configuration("threads-2", switches={"threads": 2}),
    Configuration("threads-8", switches={"threads": 8}),      # also where there are fewer cores: work is cut otherwise
    Configuration("onednn-off", _NO_ONEDNN),
    Configuration("onednn-on", _ONEDNN),
    Configuration("avx2", _isa("AVX2")),
    Configuration("avx512", _isa("AVX512_CORE")),
    Configuration("amx", _isa("AVX512_CORE_AMX")),
    Configuration("onednn-off-threads-1", _NO_ONEDNN, {"threads": 1}),
    Configuration("avx2-threads-1", _isa("AVX2"), {"threads": 1}),
    Configuration("xla-transforms", switches={"xla": True}),
    Configuration("xla-everything", {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"}),
    Configuration("stored-graphs", kind="stored"),            # what commands run with the bundled models
    Configuration("stored-graphs-onednn-off-threads-1", _NO_ONEDNN, {"threads": 1}, "stored"),
    Configuration("saved-model", kind="saved"),
    Configuration("saved-model-onednn-off-threads-1", _NO_ONEDNN, {"threads": 1}, "saved"),
    Configuration("batch", kind="batch"),
    Configuration("deterministic", switches={"deterministic": True}),
)


def chosen(names: Sequence[str] | None) -> list[Configuration]:
    """The configurations of these names, in the order of the table; all without names.

    Raises:
      UsageError: there is no such configuration.
    """
    known = {c.name: c for c in CONFIGURATIONS}
    for name in names or ():
        if name not in known:
            raise UsageError(f"there is no configuration '{name}': choose from {', '.join(known)}")
    return [c for c in CONFIGURATIONS if not names or c.name in names]
