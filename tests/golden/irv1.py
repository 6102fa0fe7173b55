"""Inception-ResNet-v1 on weights that anyone can make again: irv1.py OUT.json

facenet-pytorch 2.6.0's InceptionResnetV1 with every tensor drawn from a counter: element i of the
tensor called NAME is u(i) = (splitmix64(seed + (i + 1) * 0x9E3779B97F4A7C15) >> 11) * 2^-53 with seed =
the first 8 bytes (little endian) of sha256(NAME), then
  convolution and linear weights   (2 u - 1) * sqrt(6 / fan_in)
  BatchNorm weight, running_var    0.8 + 0.4 u
  every other tensor               0.2 u - 0.1
in double precision, stored as float32. The input is the tensor "input", [2, 3, 160, 160], as 2 u - 1.
For each stage: shape, mean, standard deviation, and 64 values at flat places floor(k * n / 64).
Needs torch 2.2.2 and facenet-pytorch 2.6.0.
"""
import hashlib, json, sys
import numpy as np, torch
from facenet_pytorch import InceptionResnetV1

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
    if len(shape) > 1:
        values = (2 * u - 1) * np.sqrt(6 / np.prod(shape[1:]))
    elif name.endswith("running_var") or name.endswith("bn.weight"):
        values = 0.8 + 0.4 * u
    else:
        values = 0.2 * u - 0.1
    return torch.from_numpy(values.astype(np.float32).reshape(shape))

torch.set_num_threads(1)
net = InceptionResnetV1(pretrained=None).eval()
net.load_state_dict({k: v if "num_batches" in k else drawn(k, tuple(v.shape)) for k, v in net.state_dict().items()})
seen = {}
stages = ["conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "conv2d_4b", "repeat_1",
          "mixed_6a", "repeat_2", "mixed_7a", "repeat_3", "block8", "avgpool_1a", "last_bn"]
for stage in stages:
    def keep(module, inputs, output, stage=stage): seen[stage.removesuffix("_1a") if stage.startswith("avg") else stage] = output
    getattr(net, stage).register_forward_hook(keep)
x = torch.from_numpy((2 * uniform("input", 2 * 3 * 160 * 160) - 1).astype(np.float32).reshape(2, 3, 160, 160))
with torch.inference_mode():
    embedding = net(x)
report = {"versions": {"torch": torch.__version__, "facenet-pytorch": "2.6.0"}, "stages": {}, "embedding": embedding.tolist()}
for stage, value in seen.items():
    flat = value.flatten().double()
    report["stages"][stage] = {"shape": list(value.shape), "mean": flat.mean().item(), "std": flat.std(unbiased=False).item(),
                               "samples": [flat[k * len(flat) // 64].item() for k in range(64)]}
    print(stage, list(value.shape), report["stages"][stage]["mean"], report["stages"][stage]["std"])
print("cosine of the two inputs", (embedding[0] @ embedding[1]).item())
json.dump(report, open(sys.argv[1], "w"))
