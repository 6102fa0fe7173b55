"""What facenet-pytorch finds: mtcnn.py ROOT OUT [FILE ...]

Every image under ROOT (or only the FILEs, relative to it) through
MTCNN(image_size=160, margin=0, min_face_size=20, keep_all=True).detect(landmarks=True), as one JSON
object a line; the first line says with which versions and weights. Photos are turned upright by their
EXIF orientation and laid over white.

One thing is not facenet-pytorch's: it clamps a candidate that reaches beyond the photo to the photo and stretches
what is left to the network's square, so that faces at the edge are seen out of proportion. The paper's own program
(pad.m) fills the candidate up with black pixels; `pad` and the two crops are replaced here to do the same. Candidates
within the photo are cut as they were.

Scores near 1 are often equal to the last bit, and NumPy's default
sort orders equals differently on different machines; here it is made stable, so that the answers repeat.
Needs torch 2.2.2, facenet-pytorch 2.6.0, Pillow 10.2.0.
"""
import hashlib, importlib.metadata as meta, inspect, json, os, sys
import facenet_pytorch, numpy, torch
from facenet_pytorch.models import mtcnn as users
from facenet_pytorch.models.utils import detect_face as reference
from facenet_pytorch import MTCNN
from PIL import Image, ImageOps

torch.set_num_threads(1)
by_machine = numpy.argsort
numpy.argsort = lambda values, **_: by_machine(values, kind="stable")

def filled(image, y, ey, x, ex):
    """The part of an image [C, H, W] that may reach beyond it, black there."""
    h, w = image.shape[1:]
    part = torch.zeros(image.shape[0], ey - y, ex - x, dtype=image.dtype)
    t, b, l, r = max(y, 0), min(ey, h), max(x, 0), min(ex, w)
    if t < b and l < r:
        part[:, t - y:b - y, l - x:r - x] = image[:, t:b, l:r]
    return part

def pad(boxes, w, h):
    """Edges counted from 1, not clamped; a box that begins in the first pixel begins with it."""
    edges = boxes[:, :4].trunc().int().cpu().numpy().copy()
    inside = boxes[:, :2].cpu().numpy() >= 0
    edges[:, :2] = numpy.where(inside, numpy.maximum(edges[:, :2], 1), edges[:, :2])
    x, y, ex, ey = edges.T.astype(int)
    return y, ey, x, ex

text = inspect.getsource(reference.detect_face)
crop = "imgs[image_inds[k], :, (y[k] - 1):ey[k], (x[k] - 1):ex[k]]"
assert text.count(crop) == 2
exec(text.replace(crop, "filled(imgs[image_inds[k]], y[k] - 1, ey[k], x[k] - 1, ex[k])"),
     dict(reference.__dict__, pad=pad, filled=filled), changed := {})
users.detect_face = changed["detect_face"]

root, out, files = sys.argv[1], sys.argv[2], sys.argv[3:]
weights = os.path.join(os.path.dirname(facenet_pytorch.__file__), "data")
sha = lambda path: hashlib.sha256(open(path, "rb").read()).hexdigest()
head = {"versions": {p: meta.version(p) for p in ("torch", "facenet-pytorch", "pillow")},
        "weights": {n: sha(os.path.join(weights, n)) for n in ("pnet.pt", "rnet.pt", "onet.pt")}}
if not files:
    files = sorted(os.path.relpath(os.path.join(d, f), root) for d, _, names in os.walk(root) for f in names)
mtcnn = MTCNN(image_size=160, margin=0, min_face_size=20, keep_all=True)
rounded = lambda v, n: [round(float(x), n) for x in v]
with open(out, "w") as sink:
    print(json.dumps(head), file=sink)
    for name in files:
        path = os.path.join(root, name)
        try:
            image = ImageOps.exif_transpose(Image.open(path))
            if image.mode in ("RGBA", "LA", "P"):
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, (255, 255, 255, 255))
                image = Image.alpha_composite(white, image)
            image = image.convert("RGB")
        except Exception:
            continue
        # The reference fails on photos smaller than its smallest face.
        boxes = None
        if min(image.size) >= 20:
            boxes, scores, points = mtcnn.detect(image, landmarks=True)
        faces = [] if boxes is None else [
            {"box": rounded(b, 3), "score": round(float(s), 6), "landmarks": [rounded(q, 3) for q in p]}
            for b, s, p in zip(boxes, scores, points)]
        print(json.dumps({"path": name, "sha256": sha(path), "width": image.width, "height": image.height,
                          "faces": faces}), file=sink, flush=True)
