"""Steps of training as torch takes them: train_torch.py NETWORK [BATCH [STEPS [THREADS]]]

Beside benches/train.rs, which says what a step is. NETWORK is nn2, mobilefacenet-prelu or inception-resnet-v1, written here
from the papers' tables with the layers that `kith train networks` lists. Measured with torch 2.2.2 (its processor part) and,
for inception-resnet-v1, facenet-pytorch 2.6.0, both from PyPI in Python 3.11. Run it in turn with the other, several times,
with as many threads, and compare the fastest of each.
"""
import os, sys, time
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # or waiting counts as work
import torch, torch.nn as nn, torch.nn.functional as F

name = sys.argv[1] if len(sys.argv) > 1 else "mobilefacenet-prelu"
batch, steps, threads = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in [(2, 16), (3, 5), (4, 2)])
torch.set_num_threads(threads)
torch.manual_seed(1)

def conv_relu(i, o, k, s=1):
    return nn.Sequential(nn.Conv2d(i, o, k, s, k // 2), nn.ReLU(inplace=True))

class L2Pool(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return (F.avg_pool2d(x * x, 3, self.stride, 1) * 9).clamp(min=1e-12).sqrt()

class Inception(nn.Module):
    def __init__(self, i, ones, threes, fives, l2, projection, stride):
        super().__init__()
        ways = [conv_relu(i, ones, 1)] if ones else []
        ways += [nn.Sequential(conv_relu(i, r, 1), conv_relu(r, o, k, stride)) for k, (r, o) in [(3, threes), (5, fives)]]
        pool = L2Pool(stride) if l2 else nn.MaxPool2d(3, stride, 1)
        ways.append(nn.Sequential(pool, conv_relu(i, projection, 1)) if projection else pool)
        self.ways = nn.ModuleList(ways)
        self.out = ones + threes[1] + fives[1] + (projection or i)

    def forward(self, x):
        return torch.cat([way(x) for way in self.ways], 1)

def nn2():
    norm = lambda: nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
    layers = [conv_relu(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1), norm(), conv_relu(64, 64, 1), conv_relu(64, 192, 3), norm(), nn.MaxPool2d(3, 2, 1)]
    channels = 192
    for row in [(64, (96, 128), (16, 32), False, 32, 1), (64, (96, 128), (32, 64), True, 64, 1), (0, (128, 256), (32, 64), False, 0, 2),
                (256, (96, 192), (32, 64), True, 128, 1), (224, (112, 224), (32, 64), True, 128, 1), (192, (128, 256), (32, 64), True, 128, 1),
                (160, (144, 288), (32, 64), True, 128, 1), (0, (160, 256), (64, 128), False, 0, 2), (384, (192, 384), (48, 128), True, 128, 1),
                (384, (192, 384), (48, 128), False, 128, 1)]:
        layers.append(Inception(channels, *row))
        channels = layers[-1].out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 128, bias=False)), 224

def normed(i, o, k, s=1, p=0, groups=1, slope=True):
    return nn.Sequential(nn.Conv2d(i, o, k, s, p, groups=groups, bias=False), nn.BatchNorm2d(o), *([nn.PReLU(o)] if slope else []))

class Bottleneck(nn.Module):
    def __init__(self, i, o, expansion, stride):
        super().__init__()
        w = i * expansion
        self.way = nn.Sequential(normed(i, w, 1), normed(w, w, 3, stride, 1, w), normed(w, o, 1, slope=False))
        self.residual = stride == 1 and i == o

    def forward(self, x):
        return x + self.way(x) if self.residual else self.way(x)

def mobilefacenet():
    layers, channels = [normed(3, 64, 3, 2, 1), normed(64, 64, 3, 1, 1, 64)], 64
    for expansion, out, repetitions, stride in [(2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)]:
        for repetition in range(repetitions):
            layers.append(Bottleneck(channels, out, expansion, 1 if repetition else stride))
            channels = out
    layers += [normed(128, 512, 1), normed(512, 512, 7, groups=512, slope=False), normed(512, 128, 1, slope=False), nn.Flatten()]
    return nn.Sequential(*layers), 112

def inception_resnet_v1():
    from facenet_pytorch import InceptionResnetV1
    network = InceptionResnetV1(pretrained=None, classify=False, dropout_prob=0.0)
    return network, 160

def peak(): return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

network, side = {"nn2": nn2, "mobilefacenet-prelu": mobilefacenet, "inception-resnet-v1": inception_resnet_v1}[name]()
network.train()
learnt = [p for n, p in network.named_parameters() if not n.startswith("logits")]
x = torch.rand(batch, 3, side, side) * 2 - 1
people = torch.arange(batch) // 2
optimiser = torch.optim.SGD(learnt, lr=1e-3, momentum=0.9, weight_decay=5e-4)

def step():
    unit = F.normalize(network(x))
    with torch.no_grad():
        distances = torch.cdist(unit, unit) ** 2
        anchor = torch.arange(batch)
        positive = anchor ^ 1
        d = distances[anchor, positive].unsqueeze(1)
        negative = distances.masked_fill((people.unsqueeze(1) == people.unsqueeze(0)) | (distances <= d), 9.0).argmin(1)
    squared = lambda a, b: (unit[a] - unit[b]).pow(2).sum(1)
    loss = F.relu(squared(anchor, positive) - squared(anchor, negative) + 0.2).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()

before, seconds, worked = peak(), [], []
for _ in range(steps + 1):
    begin, used = time.perf_counter(), time.process_time()
    step()
    worked.append(time.process_time() - used)
    seconds.append(time.perf_counter() - begin)
seconds = sorted(seconds[1:])
print(f"{name}, batch {batch}, {threads} threads, torch {torch.__version__}: {seconds[0]:.3f} s a step (median {seconds[len(seconds) // 2]:.3f}, of processors {min(worked[1:]):.2f}), "
      f"{batch / seconds[0]:.1f} faces a second; {sum(p.numel() for p in learnt)} parameters; peak {peak()} MiB, {before} MiB before the first step")
