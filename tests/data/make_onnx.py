#!/usr/bin/env python3
"""make_onnx.py - write tests/data/onnx/: small ONNX models, good and hostile.

    python3 tests/data/make_onnx.py

Every byte of the protobuf is written by hand (no onnx package), so that files can be wrong in
exactly one way; a hostile one is named after its mistake.  Same bytes on every run.
"""
import os
import struct

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onnx")


# ---- protobuf ----
def varint(v):
    v &= 2**64 - 1
    out = b""
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def num(field, v):
    return varint(field << 3) + varint(v)


def blob(field, b, length=None):
    b = b.encode() if isinstance(b, str) else b
    return varint(field << 3 | 2) + varint(len(b) if length is None else length) + b


# ---- ONNX ----
F32, U8, I8, U16, I32, I64, STRING, BOOL, F16, F64, U32, BF16, F8 = 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 16, 17
FLOATS, INT32S, INT64S, RAW, DOUBLES, UINT64S = 4, 5, 7, 9, 10, 11
F = lambda *v: struct.pack("<%df" % len(v), *v)
H = lambda *v: struct.pack("<%de" % len(v), *v)
varints = lambda *v: b"".join(map(varint, v))


def tensor(name, dims, kind, data, field=RAW, more=b""):
    """In the order of the fields' numbers, like every writer."""
    before = blob(field, data) if field < 8 else b""
    after = blob(field, data) if field > 8 else b""
    return b"".join(num(1, d) for d in dims) + num(2, kind) + before + blob(8, name) + after + more


def node(op, inputs, outputs, name="", more=b""):
    return b"".join(blob(1, i) for i in inputs) + b"".join(blob(2, o) for o in outputs) + blob(3, name) + blob(4, op) + more


def constant(output, t, name=""):
    return node("Constant", [], [output], name, blob(5, blob(1, "value") + blob(5, t) + num(20, 4)))


def graph(tensors, nodes=(), more=b""):
    return b"".join(blob(1, n) for n in nodes) + blob(2, "main_graph") + b"".join(blob(5, t) for t in tensors) + more


OPSET = blob(8, blob(1, "") + num(2, 15))


def model(tensors, nodes=(), more=b"", end=OPSET):
    return num(1, 8) + blob(2, "pytorch") + blob(3, "2.0.1") + blob(7, graph(tensors, nodes, more)) + end


W = tensor("a.weight", [2, 3], F32, F(0, 1, 2, 3, 4, 5))


def good():
    yield "small.onnx", model([
        W, tensor("b.half", [2], F16, H(1.5, -2)), tensor("b.step", [], I64, struct.pack("<q", 7)),
        tensor("empty", [0, 4], F32, b"")])
    yield "typed.onnx", model([
        tensor("f32", [2], F32, F(1.5, -2), FLOATS),
        tensor("f16", [2], F16, varints(0x3e00, 0xc000), INT32S),
        tensor("bf16", [2], BF16, varints(0x3fc0, 0xc000), INT32S),
        tensor("i8", [2], I8, varints(100, -2), INT32S),
        tensor("u16", [2], U16, varints(300, 65535), INT32S),
        tensor("i32", [1], I32, varints(-70000), INT32S),
        tensor("bool", [2], BOOL, varints(1, 0), INT32S),
        tensor("i64", [2], I64, varints(2**40, -1), INT64S),
        tensor("f64", [1], F64, struct.pack("<d", 0.5), DOUBLES),
        tensor("u32", [1], U32, varints(2**32 - 1), UINT64S),
        blob(1, varints(2, 1)) + num(2, F32) + blob(8, "packed_dims") + blob(9, F(3, 4)),
        tensor("text", [1], STRING, b"", 9), tensor("f8", [1], F8, b"\x38"), tensor("none", [1], 0, F(1))])
    yield "field_order.onnx", num(1, 8) + blob(8, num(2, 15)) + blob(7, graph(
        [blob(9, F(1)) + blob(8, "w.x") + num(2, F32) + num(1, 1) + num(99, 5) + varint(98 << 3 | 5) + F(1)]))


def named():
    """Names that an exporter has taken away."""
    c = lambda i, o, *p: node("Conv", [i, *p], [o], more=blob(5, blob(1, "dilations") + num(8, 2) + num(20, 7)))
    conv = lambda name, i, o, *p: node("Conv", [i, *p], [o], name)
    one = lambda name, v: tensor(name, [1], F32, F(v))
    # rembg's style: norms folded; paths of modules; what was not folded keeps its names
    yield "folded.onnx", model(
        [one("conv_in.weight", 1), one("conv_in.bias", 2), one("onnx::Conv_10", 3), one("onnx::Conv_11", 4),
         one("onnx::Conv_13", 5), one("onnx::Conv_14", 6), tensor("onnx::Resize_20", [1], I64, struct.pack("<q", 2))],
        [conv("/conv_in/Conv", "x", "y", "conv_in.weight", "conv_in.bias"),
         conv("/stage1/rebnconvin/conv_s1/Conv", "y", "z", "onnx::Conv_10", "onnx::Conv_11"),
         conv("/layer/layer.0/layer.0.1/conv/Conv_1", "z", "t", "onnx::Conv_13", "onnx::Conv_14")])
    # an older exporter: numbers for names, nodes without paths
    yield "numbered.onnx", model(
        [one("side.weight", 9), one("12", 1), one("13", 2), one("15", 3), one("16", 4)],
        [conv("Conv_0", "x", "y", "12", "13"), conv("Conv_2", "y", "z", "15", "16"), conv("Conv_3", "z", "t", "side.weight")])
    # norms by their nodes; a tensor that two share; weights of Constant nodes, and made floats first
    yield "norms.onnx", model(
        [one("onnx::BatchNormalization_%d" % i, i) for i in (1, 3, 4)] + [one("a.bn.bias", 6), one("7", 7), one("8", 8)],
        [constant("/a/Constant_output_0", one("", 9), "/a/Constant"), constant("unused", tensor("", [1], STRING, b"")),
         node("Identity", ["a.bn.bias"], ["b.bn.bias"]), node("Cast", ["8"], ["c.cast"]), node("Identity", ["c.cast"], ["c.again"]),
         c("x", "y", "/a/Constant_output_0"),
         node("BatchNormalization", ["y", "onnx::BatchNormalization_1", "a.bn.bias", "onnx::BatchNormalization_3",
                                     "onnx::BatchNormalization_4"], ["z"], "/a/bn/BatchNormalization"),
         node("BatchNormalization", ["z", "7", "b.bn.bias"], ["t"], "BatchNormalization_9"),
         conv("/c/Conv", "t", "u", "c.again")])


def subgraphs(depth):
    g = graph([])
    for _ in range(depth):
        g = graph([], [node("If", [], [], "", blob(5, blob(1, "then_branch") + blob(6, g)))])
    return g


def bad():
    t = tensor
    yield "cut_before_operators.onnx", model([W], end=b"")
    yield "graph_missing.onnx", num(1, 8) + blob(2, "pytorch") + OPSET
    yield "graph_twice.onnx", model([W], end=blob(7, graph([W])) + OPSET)
    yield "tensors_missing.onnx", model([])
    yield "external.onnx", model([t("w.x", [1], F32, b"", more=blob(13, blob(1, "location") + blob(2, "/etc/passwd")) + num(14, 1))])
    yield "quantised.onnx", model([W], [node("ConvInteger", ["x", "a.weight"], ["y"])])
    yield "sparse.onnx", model([W], more=blob(15, blob(1, W)))
    yield "name_twice.onnx", model([W, W])
    yield "name_of_a_node_twice.onnx", model(
        [t("1", [1], F32, F(1)), t("2", [1], F32, F(2))],
        [node("Conv", ["x", "1"], ["y"], "/a/Conv"), node("Conv", ["y", "2"], ["z"], "/a/Conv")])
    yield "name_empty.onnx", model([t("", [1], F32, F(1))])
    yield "name_with_escape.onnx", model([t("w\x1b[2J", [1], F32, F(1))])
    yield "name_of_a_path_with_escape.onnx", model([t("1", [1], F32, F(1))], [node("Conv", ["x", "1"], ["y"], "/a\x1b/Conv")])
    yield "name_too_long.onnx", model([t("w" * 1001, [1], F32, F(1))])
    yield "shape_huge.onnx", model([t("w", [10**9], F32, F(1))])
    yield "shape_billion_axes.onnx", model([t("w", [10**9] * 8, F32, F(1))])
    yield "shape_nine_axes.onnx", model([t("w", [1] * 9, F32, F(1))])
    yield "shape_many_axes_packed.onnx", model([blob(1, b"\1" * 1000) + num(2, F32) + blob(8, "w") + blob(9, F(1))])
    yield "shape_negative.onnx", model([t("w", [-1], F32, F(1))])
    yield "shape_overflow.onnx", model([t("w", [2**32, 2**32], F32, F(1))])
    yield "shape_zero_overflow.onnx", model([t("w", [2**62, 2**62, 0], F32, b"")])
    yield "data_short.onnx", model([t("w", [3], F32, F(1, 2))])
    yield "data_long.onnx", model([t("w", [1], F32, F(1, 2))])
    yield "data_missing.onnx", model([num(1, 1) + num(2, F32) + blob(8, "w")])
    yield "data_of_another_type.onnx", model([t("w", [1], F32, varints(1), INT32S)])
    yield "data_of_another_size.onnx", model([t("w", [2], F16, F(1, 2))])
    yield "data_in_pieces.onnx", model([num(1, 2) + num(2, F32) + blob(4, F(1)) + blob(4, F(2)) + blob(8, "w")])
    yield "data_both.onnx", model([num(1, 1) + num(2, F32) + blob(4, F(1)) + blob(8, "w") + blob(9, F(1))])
    yield "data_not_packed.onnx", model([num(1, 1) + num(2, I32) + num(5, 1) + blob(8, "w")])
    yield "varints_short.onnx", model([t("w", [3], F16, varints(1, 300), INT32S)])
    yield "varint_cut.onnx", model([t("w", [1], I32, b"\x80", INT32S)])
    yield "varint_too_long.onnx", model([t("w", [1], I64, b"\x80" * 10 + b"\1", INT64S)])
    yield "length_huge.onnx", num(1, 8) + blob(2, "pytorch") + blob(7, graph([W]), 2**63) + OPSET
    yield "length_beyond_field.onnx", model([], more=blob(5, W, len(W) + 100))
    yield "wire_type_group.onnx", num(1, 8) + blob(2, "p") + b"\x3b" + OPSET
    yield "field_zero.onnx", num(1, 8) + blob(2, "p") + b"\x02\x00" + OPSET
    yield "graph_is_a_number.onnx", num(1, 8) + blob(2, "p") + num(7, 5) + OPSET
    yield "initializer_is_a_number.onnx", model([], more=num(5, 7))
    yield "subgraphs_deep.onnx", num(1, 8) + blob(2, "p") + blob(7, subgraphs(500)) + OPSET
    yield "aliases_in_a_ring.onnx", model([], [
        node("Identity", ["a"], ["b"]), node("Identity", ["b"], ["a"]), node("Conv", ["x", "a", "b"], ["y"], "/c/Conv")])
    yield "text.onnx", b"\x08 is a backspace, and this is text\n"


def main():
    os.makedirs(OUT, exist_ok=True)
    for make in good, named, bad:
        for file, data in make():
            with open(os.path.join(OUT, file), "wb") as f:
                f.write(data)


if __name__ == "__main__":
    main()
