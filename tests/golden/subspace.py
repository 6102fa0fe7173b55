"""scikit-learn's PCA and LDA on 32 grey chips of 48x48 pixels: subspace.py (run in tests/golden).

Writes subspace_chips.png (8x4 tiles), subspace.json (versions, checksum, variances, ratios, projections) and
subspace.f32 (directions as little-endian f32: 8 of PCA, then 3 of LDA, 2304 numbers each).

The chips are cut from the public-domain portraits' chips beside this script: four "people" (two portraits and
their mirror images), each varied by seeded shifts, turns, light and noise.
"""
import hashlib, json
import numpy as np, sklearn
from PIL import Image, __version__ as pillow
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

SIZES = [10, 8, 8, 6]
rng = np.random.default_rng(1991)


def varied(portrait):
    turned = portrait.rotate(rng.uniform(-6, 6), resample=Image.BICUBIC)
    x, y = 21.5 + rng.uniform(-4, 4), 24 + rng.uniform(-4, 4)
    side = 105 * rng.uniform(0.94, 1.06)
    chip = np.asarray(turned.resize((48, 48), Image.BICUBIC, box=(x, y, min(x + side, 150), min(y + side, 150))), float)
    slope = np.linspace(-1, 1, 48)[None, :] * rng.uniform(-25, 25)
    return np.clip(chip * rng.uniform(0.7, 1.1) + rng.uniform(-15, 15) + slope + rng.normal(0, 3, (48, 48)), 0, 255)


portraits = [Image.open(f"chips/{name}.png").convert("L") for name in ("astronaut", "grace_hopper")]
portraits += [p.transpose(Image.FLIP_LEFT_RIGHT) for p in portraits]
chips = [varied(p).round().astype(np.uint8) for p, n in zip(portraits, SIZES) for _ in range(n)]
people = [p for p, n in enumerate(SIZES) for _ in range(n)]
sheet = np.concatenate([np.concatenate(chips[i:i + 8], 1) for i in range(0, 32, 8)], 0)
Image.fromarray(sheet).save("subspace_chips.png", optimize=True)

x = np.stack([c.astype(float).ravel() for c in chips])
x -= x.mean(1, keepdims=True)
x /= x.std(1, keepdims=True)
pca = PCA(svd_solver="full").fit(x)
reduced = PCA(n_components=32 - len(SIZES), svd_solver="full").fit(x)
lda = LinearDiscriminantAnalysis(solver="eigen").fit(reduced.transform(x), people)
fisher = lda.scalings_[:, :len(SIZES) - 1].T @ reduced.components_
whitened = PCA(n_components=8, svd_solver="full", whiten=True).fit_transform(x)
np.concatenate([pca.components_[:8], fisher]).astype("<f4").tofile("subspace.f32")
json.dump({
    "scikit-learn": sklearn.__version__, "numpy": np.__version__, "pillow": pillow,
    "chips_sha256": hashlib.sha256(open("subspace_chips.png", "rb").read()).hexdigest(),
    "people": people,
    "variances": pca.explained_variance_[:31].tolist(),
    "shares": pca.explained_variance_ratio_[:31].tolist(),
    "whitened_first_chip": np.abs(whitened[0]).tolist(),
    "between_over_total": lda.explained_variance_ratio_[:3].tolist(),
}, open("subspace.json", "w"), indent=1)
