"""Trains src/attributes/cover.f32: cover.py CHIPS OUT

CHIPS is what `KITH_CHIPS=FOLDER cargo test --test conditions chips_for_training -- --ignored` writes: of each face a byte
for the condition (0 clean, 1 mask, 2 sunglasses, 3 both, 7 upside down) and 48x48 RGB pixels, of people of
Labeled Faces in the Wild outside of its ten folds. The features are those of src/attributes/cover.rs.
Needs torch 2.2.2 and NumPy 1.26.4.
"""
import sys
import numpy as np, torch

SIDE, CELL, HIDDEN = 48, 4, 32
CELLS = SIDE // CELL

def features(chips):
    """[N, 48, 48, 3] bytes to [N, 576]."""
    rgb = chips.astype(np.float32) / 255
    luma = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    mean = luma.mean((1, 2), keepdims=True)
    scale = 1 / np.maximum(luma.std((1, 2), keepdims=True), 0.02)
    right = np.abs(np.concatenate([luma[:, :, 1:], luma[:, :, -1:]], 2) - luma)
    below = np.abs(np.concatenate([luma[:, 1:], luma[:, -1:]], 1) - luma)
    cells = lambda v: v.reshape(len(v), CELLS, CELL, CELLS, CELL).mean((2, 4))
    planes = [(cells(luma) - mean) * scale, 4 * cells(rgb[..., 2] - luma), 4 * cells(rgb[..., 0] - luma),
              4 * cells(right + below) * scale]
    return np.stack(planes, -1).reshape(len(chips), -1).astype(np.float32)

def changed(chips, rng):
    """The same faces moved, mirrored, lighter or darker, with other colours and a little noise."""
    out = chips.astype(np.float32)
    flip = rng.random(len(out)) < 0.5
    out[flip] = out[flip][:, :, ::-1]
    for i, (dy, dx) in enumerate(rng.integers(-2, 3, (len(out), 2))):
        out[i] = np.roll(out[i], (dy, dx), (0, 1))
    out = out * rng.uniform(0.7, 1.25, (len(out), 1, 1, 1)) + rng.uniform(-20, 20, (len(out), 1, 1, 1))
    out = out * rng.uniform(0.9, 1.1, (len(out), 1, 1, 3)) + rng.normal(0, 3, out.shape)
    return np.clip(out, 0, 255).astype(np.uint8)

def labels(condition):
    mouth, eyes = np.isin(condition, (1, 3)), np.isin(condition, (2, 3))
    return np.stack([mouth, eyes, condition == 7], 1).astype(np.float32)

def train(chips, condition, epochs=20, seed=1):
    torch.manual_seed(seed); rng = np.random.default_rng(seed)
    x = np.concatenate([features(chips)] + [features(changed(chips, rng)) for _ in range(3)])
    y = np.tile(labels(condition), (4, 1))
    net = torch.nn.Sequential(torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Dropout(0.1),
                              torch.nn.Linear(HIDDEN, 3))
    # Large weights first go where many cells agree.
    best = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(best, epochs)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(epochs):
        net.train()
        for part in torch.randperm(len(x)).split(256):
            best.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(net(x[part]), y[part]).backward()
            best.step()
        plan.step()
    return net.eval()

if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = np.fromfile(sys.argv[1], np.uint8).reshape(-1, 1 + SIDE * SIDE * 3)
    net = train(rows[:, 1:].reshape(-1, SIDE, SIDE, 3), rows[:, 0])
    first, last = net[0], net[3]
    parts = [first.weight, first.bias, last.weight, last.bias]
    np.concatenate([p.detach().numpy().ravel() for p in parts]).astype("<f4").tofile(sys.argv[2])
