"""Steps of training as torch does them: train.py OUT.json

Tensors are drawn by name as in irv1.py. Optimisers: a weight [3, 4] and a bias [3] over five steps of drawn gradients,
clipped to a norm of 1, at a rate of 0.1, weight decay 0.05 on the weight alone. Schedules: 20 steps at 0.1. Needs torch
2.2.2 (its processor part); NumPy is not used.
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

#NETWORKS
json.dump(out, open(sys.argv[1], "w"))
