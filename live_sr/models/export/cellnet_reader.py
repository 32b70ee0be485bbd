"""Recognises a network trained here by its ONNX graph, and reads its weights. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from live_sr.models.cellnet_weights import CELL, CellNetWeights, Layer, Values


def read_cellnet(model: ModelProto) -> CellNetWeights | None:
    """The weights of a network that `live-sr export` wrote; None if the graph is any other."""
    reader = _Reader(model.graph)
    try:
        return reader.read()
    except _OtherNetwork:
        return None


class _OtherNetwork(Exception):
    """The graph is not that of a CellNet."""


class _Reader:
    """Walks along a graph and raises _OtherNetwork where it differs from what `training/export.py` writes."""

    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._nodes: list[NodeProto] = []
        for node in graph.node:
            if node.op_type == "Cast" and node.input[0] in self._constants:  # weights are stored in fp16
                self._constants[node.output[0]] = self._constants[node.input[0]]
            else:
                self._nodes.append(node)
        self._next = 0

    def read(self) -> CellNetWeights:
        framed = self._take("Pad", self._graph.input[0].name, mode=b"edge")
        _expect(np.array_equal(self._get(framed, 1), [0, 0, CELL, CELL] * 2))
        cells = self._take("SpaceToDepth", framed.output[0], blocksize=CELL).output[0]
        layers, features = [], cells
        while self._next + 1 < len(self._nodes) and self._nodes[self._next + 1].op_type == "PRelu":
            convolution = self._take("Conv", features, pads=[1] * 4)
            activation = self._take("PRelu", convolution.output[0])
            slope = self._get(activation, 1)
            weight, bias = self._read_weights(convolution)
            _expect(slope.shape == (len(weight), 1, 1))
            layers.append(Layer(weight, bias, slope.ravel()))
            features = activation.output[0]
        both = self._take("Concat", features, cells, axis=1)
        last = self._take("Conv", both.output[0], pads=[0] * 4)
        weight, bias = self._read_weights(last)
        shuffle = self._take("DepthToSpace", last.output[0], mode=b"CRD", blocksize=None)
        _expect(self._next == len(self._nodes) and shuffle.output[0] == self._graph.output[0].name)
        network = CellNetWeights(_get_attributes(shuffle)["blocksize"] // CELL, tuple(layers), weight, bias)
        _expect(network.has_shapes_of_cellnet)
        return network

    def _take(self, kind: str, *inputs: str, **attributes: Any) -> NodeProto:
        """The next node, which must be of that kind and have these first inputs and no other attributes."""
        _expect(self._next < len(self._nodes))
        node = self._nodes[self._next]
        self._next += 1
        _expect(node.op_type == kind and tuple(node.input[: len(inputs)]) == inputs)
        has = _get_attributes(node)
        _expect(has.keys() == attributes.keys())
        _expect(all(want is None or has[name] == want for name, want in attributes.items()))
        return node

    def _get(self, node: NodeProto, place: int) -> Values:
        _expect(place < len(node.input) and node.input[place] in self._constants)
        return self._constants[node.input[place]].astype(np.float32)

    def _read_weights(self, node: NodeProto) -> tuple[Values, Values]:
        weight, bias = self._get(node, 1), self._get(node, 2)
        _expect(weight.shape[2:] == (3, 3) and bias.shape == (len(weight),))
        return weight, bias


def _expect(fulfilled: bool) -> None:
    if not fulfilled:
        raise _OtherNetwork


def _get_attributes(node: NodeProto) -> Mapping[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
