"""What facenet-pytorch finds: mtcnn.py ROOT OUT [FILE ...]

Every image under ROOT (or only the FILEs, relative to it) through
MTCNN(image_size=160, margin=0, min_face_size=20, keep_all=True).detect(landmarks=True), as one JSON
object a line; the first line says with which versions and weights. Photos are turned upright by their
EXIF orientation and laid over white. Scores near 1 are often equal to the last bit, and NumPy's default
sort orders equals differently on different machines; here it is made stable, so that the answers repeat.
Needs torch 2.2.2, facenet-pytorch 2.6.0, Pillow 10.2.0.
"""
import hashlib, importlib.metadata as meta, json, os, sys
import facenet_pytorch, numpy, torch
from facenet_pytorch import MTCNN
from PIL import Image, ImageOps

torch.set_num_threads(1)
by_machine = numpy.argsort
numpy.argsort = lambda values, **_: by_machine(values, kind="stable")
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
