"""ONNX detectors with random weights or without weights, and with the inputs and outputs of real detectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def detector(folder: Path, kind: str, *, side: int, batch: int | str = "batch", channels: Sequence[int] = ()) -> Path:
    """A network whose scores for animal, person and vehicle are the means of red, green and blue.

    Args:
        folder: where it is written.
        kind: `rtdetr` or `yolo`.
        side: of the square that it takes, pixels.
        batch: images that it takes at once, where it takes no others.
        channels: convolutions in front, each at half the size of the one before; the scores then mean nothing.
    """
    random = np.random.default_rng(0)

    def constant(name: str, value: Any) -> Any:
        return numpy_helper.from_array(np.asarray(value, np.float32), name)

    boxes = np.array([8, 8, 24, 24], np.float32) + 30 * np.arange(3, dtype=np.float32)[None, :, None]
    constants = [constant("boxes_of", boxes), constant("numbers", [[0, 1, 2]]), constant("zero", 0.0)]
    constants += [numpy_helper.from_array(np.array([2], np.int64), "last")]
    nodes, pixels, held = [], "images", 3
    for number, wanted in enumerate([*channels, 3] if channels else []):
        constants.append(constant(f"weights{number}", random.normal(0, 1 / (3 * held**0.5), (wanted, held, 3, 3))))
        convolution = helper.make_node(
            "Conv", [pixels, f"weights{number}"], [f"conv{number}"], strides=[2, 2], pads=[1, 1, 1, 1]
        )
        nodes += [convolution, helper.make_node("Sigmoid", [f"conv{number}"], [f"layer{number}"])]
        pixels, held = f"layer{number}", wanted
    nodes += [
        helper.make_node("ReduceMean", [pixels], ["scores"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["scores", "zero"], ["none"]),
        helper.make_node("Add", ["none", "numbers"], ["classes"]),
        helper.make_node("Unsqueeze", ["none", "last"], ["none3"]),
        helper.make_node("Add", ["none3", "boxes_of"], ["boxes"]),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, side, side])]
    if kind == "rtdetr":
        nodes.append(helper.make_node("Cast", ["classes"], ["labels"], to=TensorProto.INT64))
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [batch, 2]))
        outputs = [
            helper.make_tensor_value_info("labels", TensorProto.INT64, [batch, 3]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [batch, 3, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3]),
        ]
    else:
        nodes += [helper.make_node("Unsqueeze", [name, "last"], [f"{name}3"]) for name in ("scores", "classes")]
        nodes.append(helper.make_node("Concat", ["boxes", "scores3", "classes3"], ["output0"], axis=2))
        outputs = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, 3, 6])]
    graph = helper.make_graph(nodes, kind, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / f"{kind}-{batch}.onnx"
    onnx.save(model, path)
    return path
