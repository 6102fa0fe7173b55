"""YuNet and MobileFaceNet as ONNX Runtime runs them: fast_pair.py WEIGHTS_FOLDER OUT.json

Twice each: on the published weights, and on the published graph with every weight drawn from a counter
by kith's name for it (the recipe of irv1.py: convolution weights (2 u - 1) * sqrt(6 / fan_in), biases
0.2 u - 0.1), which anyone can make again. kith's names are found here from the graph: a numbered
convolution of YuNet is the second of the unit whose first stands before it, one of MobileFaceNet is named
by its node.

Inputs: with drawn weights the tensor "input" as 2 u - 1, [1, 3, 96, 160] and [2, 3, 112, 112]; with the
published ones tests/fixtures/photos/astronaut.png (512x512; blue, green, red, 0 to 255), and the upper left
112x112 of tests/golden/chips/astronaut.png as (v / 255 - mean) / deviation.
Of each output 64 values at flat places floor(k * n / 64), and its standard deviation.
Needs onnx 1.17, onnxruntime 1.20.1, Pillow.
"""
import hashlib, json, os, sys
import numpy as np, onnx, onnxruntime
from onnx import numpy_helper
from PIL import Image

FILES = {"yunet-s": "yunet_s_dynamic.onnx", "yunet-n": "yunet_n_dynamic.onnx", "mobilefacenet": "mobilefacenet_foamliu.onnx"}
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
    """Initialiser to kith's name, for the weight and bias of every convolution."""
    found, last = {}, None
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        weight, bias = node.input[1], node.input[2]
        if weight.endswith(".weight"):
            name = weight.removesuffix(".weight")
        elif node.name.startswith("/"):
            parts = node.name.strip("/").split("/")
            if parts[0] == "features":
                kind = {"conv.0": "expand", "conv.1": "depthwise", "conv.2": "project"}[parts[3]]
                name = f"{parts[1]}.{kind}"
            else:
                name = ".".join(parts[:2]) if parts[0] == "dw_conv" else parts[0]
        else:
            name = last.removesuffix("conv1") + "conv2" if last else "backbone.model0.conv1"
        found[weight], found[bias], last = f"{name}.weight", f"{name}.bias", name
    return found

def run(model, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0].name
    rows = [session.run(None, {feed: x[i:i + 1]}) for i in range(len(x))]
    report = {}
    for i, output in enumerate(session.get_outputs()):
        flat = np.concatenate([r[i].reshape(-1) for r in rows]).astype(np.float64)
        samples = [flat[k * len(flat) // 64] for k in range(64)]
        report[output.name] = {"count": len(flat), "std": flat.std(), "samples": samples}
    return report

photo = np.asarray(Image.open(f"{HERE}/../fixtures/photos/astronaut.png").convert("RGB"), np.float32)
photo = photo[:, :, ::-1].transpose(2, 0, 1)[None].copy()
chip = np.asarray(Image.open(f"{HERE}/chips/astronaut.png").convert("RGB"), np.float32)[:112, :112]
chip = (chip / 255 - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
chip = chip.transpose(2, 0, 1)[None].astype(np.float32)

answer = {"versions": {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}, "files": {}, "published": {}, "drawn": {}}
for architecture, file in FILES.items():
    path = os.path.join(sys.argv[1], file)
    answer["files"][architecture] = {"file": file, "sha256": hashlib.sha256(open(path, "rb").read()).hexdigest()}
    model = onnx.load(path)
    small = architecture.startswith("yunet")
    answer["published"][architecture] = run(model, photo if small else chip)
    shape = (1, 3, 96, 160) if small else (2, 3, 112, 112)
    x = (2 * uniform("input", int(np.prod(shape))) - 1).astype(np.float32).reshape(shape)
    known = names(model)
    for tensor in model.graph.initializer:
        if tensor.name in known:
            kept = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(drawn(known[kept], tuple(tensor.dims)), kept))
    answer["drawn"][architecture] = run(model, x)
json.dump(answer, open(sys.argv[2], "w"))
