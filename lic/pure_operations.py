"""The operations that a stored function may hold: those that compute, and touch no file, network or process.

A function of TensorFlow is a program: with an operation such as WriteFile it could do whatever its reader may. Ours
need those below, by all presets together; a test stores every kind of model and finds one that is missing.
"""

from __future__ import annotations

from collections.abc import Iterable

ALLOWED = frozenset({
    "Abs", "Add", "AddN", "AddV2", "All", "Assert", "Atanh", "AvgPool", "AvgPoolGrad", "BatchMatMulV2", "BiasAdd",
    "Bitcast", "BitwiseAnd", "BitwiseXor", "BroadcastArgs", "BroadcastGradientArgs", "BroadcastTo", "Cast",
    "ConcatOffset", "ConcatV2", "Const", "Conv2D", "Conv2DBackpropInput", "CreateRangeDecoder",
    "CreateRangeEncoder", "Cumsum", "DepthToSpace", "DynamicStitch", "EnsureShape", "Enter", "EntropyDecodeChannel",
    "EntropyDecodeFinalize", "EntropyDecodeIndex", "EntropyEncodeChannel", "EntropyEncodeFinalize",
    "EntropyEncodeIndex", "Equal", "Erf", "Erfc", "Exit", "Exp", "ExpandDims", "Fill", "Floor", "FloorDiv",
    "FloorMod", "FusedBatchNormV3", "Gather", "GatherV2", "Greater", "GreaterEqual", "Identity", "IdentityN",
    "Invert", "InvertPermutation", "IsInf", "IsNan", "LeakyRelu", "LeakyReluGrad", "Less", "LessEqual", "Log",
    "Log1p", "LogicalAnd", "LogicalOr", "LoopCond", "MatMul", "Max", "Maximum", "Mean", "Merge", "Min", "Minimum",
    "Mul", "Neg", "NextIteration", "NoOp", "NotEqual", "Pack", "Pad", "Placeholder", "Prod", "RaggedTensorToTensor",
    "Range", "RealDiv", "Reciprocal", "Relu", "ReluGrad", "Reshape", "RightShift", "Roll", "Round", "Rsqrt",
    "RsqrtGrad", "SelectV2", "Shape", "ShapeN", "Sigmoid", "SigmoidGrad", "Sign", "Size", "Slice", "Softmax",
    "Softplus", "SpaceToDepth", "Split", "SplitV", "Sqrt", "SqrtGrad", "Square", "SquaredDifference", "Squeeze",
    "StopGradient", "StridedSlice", "StridedSliceGrad", "Sub", "Sum", "Switch", "Tanh", "TanhGrad",
    "TensorListFromTensor", "TensorListGetItem", "TensorListReserve", "TensorListSetItem", "TensorListStack",
    "Tile", "Transpose", "Unpack", "Where", "ZerosLike",
})


def check(nodes: Iterable, called: Iterable[str] = ()) -> None:
    """Raises ValueError where one of a function's nodes is another operation, and calls none of these functions."""
    strange = sorted({node.op for node in nodes} - ALLOWED - set(called))
    if strange:
        raise ValueError(f"a function of ours holds no {strange[0]}")
