"""Steps of training as torch does them: train.py OUT.json --nn1 --irv1

Tensors are drawn by name as in irv1.py. Optimisers: a weight [3, 4] and a bias [3] over five steps of drawn gradients,
clipped to a norm of 1, at a rate of 0.1, weight decay 0.05 on the weight alone. Schedules: 20 steps at 0.1. Needs torch
2.2.2 (its processor part), and with --irv1 facenet-pytorch 2.6.0; NumPy is not used. With --keep the numbers of what is not
asked for stay as they are in OUT.json. Of Inception-ResNet-v1 every seventh tensor is kept, with four of its moves, in f64:
torch's own f32 is a thousandth (median of tensors) to an eighth (worst) of a tensor's greatest gradient away from that.
"""
import copy, hashlib, json, math, sys
import torch
import torch.nn as nn, torch.nn.functional as F

torch.set_num_threads(1)
M = (1 << 64) - 1

def uniform(name, n):
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    k = torch.arange(1, n + 1, dtype=torch.int64)
    def wrap(v): return v - (1 << 64) if v >= (1 << 63) else v
    def shift(z, s): return (z >> s) & ((1 << (64 - s)) - 1)
    z = k * wrap(0x9E3779B97F4A7C15) + wrap(seed)
    z = (z ^ shift(z, 30)) * wrap(0xBF58476D1CE4E5B9)
    z = (z ^ shift(z, 27)) * wrap(0x94D049BB133111EB)
    z = z ^ shift(z, 31)
    return shift(z, 11).double() * 2.0**-53

def drawn(name, shape):
    u = uniform(name, math.prod(shape))
    if len(shape) > 1:
        v = (2 * u - 1) * math.sqrt(6 / math.prod(shape[1:]))
    elif name.endswith("running_var") or name.endswith("bn.weight"):
        v = 0.8 + 0.4 * u
    else:
        v = 0.2 * u - 0.1
    return v.float().reshape(shape)

out = {"versions": {"torch": torch.__version__}, "optimisers": {}, "schedules": {}}

def pair():
    return {n: nn.Parameter(drawn(n, s)) for n, s in [("weight", [3, 4]), ("bias", [3])]}

def load(p, step):
    for n, v in p.items():
        v.grad = drawn(f"{n}.grad{step}", list(v.shape))

def flat(p): return torch.cat([p["bias"].flatten(), p["weight"].flatten()]).tolist()

def groups(p): return [{"params": [p["weight"]], "weight_decay": 0.05}, {"params": [p["bias"]], "weight_decay": 0.0}]

for name, make in [("sgd", lambda g: torch.optim.SGD(g, lr=0.1, momentum=0.9)), ("adamw", lambda g: torch.optim.AdamW(g, lr=0.1)),
                   ("adagrad", lambda g: torch.optim.Adagrad(g, lr=0.1))]:
    p = pair()
    opt, steps = make(groups(p)), []
    for step in range(5):
        load(p, step)
        torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
        opt.step()
        steps.append(flat(p))
    out["optimisers"][name] = steps

def rates(make):
    opt = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    s, r = make(opt), []
    for _ in range(20):
        r.append(opt.param_groups[0]["lr"])
        opt.step(); s.step()
    return r

L = torch.optim.lr_scheduler
import warnings; warnings.simplefilter("ignore")
out["schedules"]["cosine"] = rates(lambda o: L.CosineAnnealingLR(o, 20))
out["schedules"]["step"] = rates(lambda o: L.StepLR(o, 7, 0.3))
out["schedules"]["warm_cosine"] = rates(lambda o: L.SequentialLR(o, [L.LinearLR(o, 1 / 5, 1.0, 4), L.CosineAnnealingLR(o, 15)], [5]))

p = pair()
opt = torch.optim.SGD(p.values(), lr=0.1, momentum=0.9)
holder = nn.Module()
for n, v in p.items(): holder.register_parameter(n, v)
ema = torch.optim.swa_utils.AveragedModel(holder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
for step in range(5):
    load(p, step); opt.step(); ema.update_parameters(holder)
out["average"] = flat(dict(ema.module.named_parameters()))


# Networks: two steps of SGD (momentum 0.9, decay 5e-4 on weights of two dimensions or more) on the mean triplet loss.
def lrn(x): return F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2.0)

class Net:
    """Named tensors, drawn on first use, and the layers over them."""
    def __init__(self): self.p, self.running, self.training = {}, {}, True
    def get(self, name, shape):
        if name not in self.p: self.p[name] = nn.Parameter(drawn(name, shape))
        return self.p[name]
    def conv(self, x, name, out, k, stride=1, pad=None, groups=1, bias=True):
        w = self.get(name + ".weight", [out, x.shape[1] // groups, k, k])
        return F.conv2d(x, w, self.get(name + ".bias", [out]) if bias else None, stride, k // 2 if pad is None else pad, 1, groups)
    def bn(self, x, name):
        c = [x.shape[1]]
        for part in ["running_mean", "running_var"]:
            if f"{name}.{part}" not in self.running: self.running[f"{name}.{part}"] = drawn(f"{name}.{part}", c)
        return F.batch_norm(x, self.running[name + ".running_mean"], self.running[name + ".running_var"],
                            self.get(name + ".weight", c), self.get(name + ".bias", c), self.training)
    def linear(self, x, name, out, bias=True):
        x = x.flatten(1)
        return F.linear(x, self.get(name + ".weight", [out, x.shape[1]]), self.get(name + ".bias", [out]) if bias else None)
    def maxout(self, x, name, out): return torch.maximum(*self.linear(x, name, 2 * out).split(out, 1))

def small(n, x):
    x = F.prelu(n.bn(n.conv(x, "c1", 8, 3, 2), "c1.bn"), n.get("c1.prelu.weight", [8]))
    x = lrn(x)
    x = F.relu(n.bn(n.conv(x, "dw", 8, 3, groups=8, bias=False), "dw.bn"))
    x = n.bn(n.conv(x, "r1", 8, 3), "r1.bn") + x
    x = torch.cat([F.relu(n.conv(x, "b1", 4, 1, 2)), F.relu(n.conv(x, "b2", 6, 5, 2)),
                   n.conv(F.max_pool2d(x, 3, 2, 1), "b3", 4, 1),
                   (F.avg_pool2d(x * x, 3, 2, 1) * 9).clamp(min=1e-12).sqrt()], 1)
    return n.linear(n.maxout(x, "mo", 10), "fc", 5)

def nn1(n, x):
    c = lambda x, name, out, k, stride=1: F.relu(n.conv(x, name, out, k, stride))
    pool = lambda x: F.max_pool2d(x, 3, 2, 1)
    x = lrn(pool(c(x, "conv1", 64, 7, 2)))
    x = pool(lrn(c(c(x, "conv2a", 64, 1), "conv2", 192, 3)))
    x = pool(c(c(x, "conv3a", 192, 1), "conv3", 384, 3))
    for name, inside, out in [("conv4", 384, 256), ("conv5", 256, 256), ("conv6", 256, 256)]:
        x = c(c(x, name + "a", inside, 1), name, out, 3)
    x = n.maxout(n.maxout(pool(x), "fc1", 4096), "fc2", 4096)
    return n.linear(x, "fc7128", 128, bias=False)

def loss_of(e, triplets):
    e = F.normalize(e)
    a, p, q = (e[[t[i] for t in triplets]] for i in range(3))
    return F.relu((a - p).square().sum(1) - (a - q).square().sum(1) + 0.2).mean()

def samples(t, n=16):
    flat = t.detach().flatten()
    return [flat[k * len(flat) // n].item() for k in range(n)]

def train(forward, x, triplets, rate, steps):
    n, out = Net(), {"losses": []}
    with torch.no_grad(): n.training = False; forward(n, x[:2]); n.training = True
    opt = torch.optim.SGD([{"params": [v for v in n.p.values() if v.dim() > 1], "weight_decay": 5e-4},
                           {"params": [v for v in n.p.values() if v.dim() == 1], "weight_decay": 0.0}], lr=rate, momentum=0.9)
    first = {k: v.detach().clone() for k, v in n.p.items()}
    for _ in range(steps):
        loss = loss_of(forward(n, x), triplets)
        opt.zero_grad(); loss.backward(); opt.step()
        out["losses"].append(loss.item())
    # How far each tensor went: its greatest move, the mean of its moves, and 16 of them.
    out["moves"] = {k: {"count": v.numel(), "greatest": (v - first[k]).abs().max().item(),
                        "mean": (v.detach() - first[k]).double().mean().item(), "samples": samples(v - first[k])} for k, v in n.p.items()}
    out["running"] = {k: v.tolist() for k, v in n.running.items()}
    n.training = False
    with torch.no_grad(): out["embeddings"] = F.normalize(forward(n, x)).tolist()
    return out

x = (2 * uniform("small input", 6 * 3 * 17 * 15) - 1).float().reshape(6, 3, 17, 15)
some = [(0, 1, 2), (1, 0, 4), (2, 3, 0), (3, 2, 5), (4, 5, 3), (5, 4, 1)]
out["small"] = train(small, x, some, 0.5, 2)
if "--nn1" in sys.argv:
    torch.set_num_threads(2)
    # Three faces of noise, each about another grey.
    x = (0.5 * (2 * uniform("nn1 input", 3 * 3 * 220 * 220) - 1)).float().reshape(3, 3, 220, 220)
    x = x + torch.tensor([0.4, 0.1, -0.5]).reshape(3, 1, 1, 1)
    out["nn1"] = train(nn1, x, [(0, 1, 2), (1, 0, 2)], 0.05, 1)
    del out["nn1"]["embeddings"]
if "--irv1" in sys.argv:
    from facenet_pytorch import InceptionResnetV1
    torch.set_num_threads(2)
    module = InceptionResnetV1(pretrained=None, classify=False, dropout_prob=0.0).train()
    state = {k: drawn(k, list(v.shape)) for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}
    module.load_state_dict(state, strict=False)
    module.double()
    x = (2 * uniform("irv1 input", 4 * 3 * 160 * 160) - 1).float().reshape(4, 3, 160, 160)
    x = (x + torch.tensor([0.4, 0.1, -0.5, 0.2]).reshape(4, 1, 1, 1)).double()
    learnt = dict(module.named_parameters())
    opt = torch.optim.SGD([{"params": [v for v in learnt.values() if v.dim() > 1], "weight_decay": 5e-4},
                           {"params": [v for v in learnt.values() if v.dim() == 1], "weight_decay": 0.0}], lr=0.05, momentum=0.9)
    loss = loss_of(module(x), [(0, 1, 2), (1, 0, 3), (2, 3, 0), (3, 2, 1)])
    opt.zero_grad(); loss.backward(); opt.step()
    moved = {k: v.detach() - state[k] for k, v in learnt.items()}
    running = {k: v for k, v in module.state_dict().items() if "running" in k}
    out["irv1"] = {"losses": [loss.item()], "running": {k: samples(running[k], 4) for k in sorted(running)[::7]},
                   "moves": {k: {"count": moved[k].numel(), "greatest": moved[k].abs().max().item(), "mean": moved[k].double().mean().item(),
                                 "samples": samples(moved[k], 4)} for k in sorted(moved)[::7]}}
if "--keep" in sys.argv:
    out = {**json.load(open(sys.argv[1])), **out}
json.dump(out, open(sys.argv[1], "w"), separators=(",", ":"))
