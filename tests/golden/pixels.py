"""The pixels that Pillow (libjpeg-turbo) reads from the JPEG fixtures: pixels.py PHOTOS > pixels.json

Upright by EXIF orientation, converted to RGB; the sha256 is over the interleaved bytes, row by row.
Needs Pillow 10.2.0.
"""
import hashlib, json, os, sys
from PIL import Image, ImageOps, features
import PIL

folder = sys.argv[1]
sha = lambda data: hashlib.sha256(data).hexdigest()
photos = []
for name in sorted(os.listdir(folder)):
    if name.endswith(".jpg"):
        path = os.path.join(folder, name)
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        photos.append({"path": name, "sha256": sha(open(path, "rb").read()), "width": image.width,
                       "height": image.height, "pixels": sha(image.tobytes())})
versions = {"pillow": PIL.__version__, "libjpeg-turbo": features.version("libjpeg_turbo")}
print(json.dumps({"versions": versions, "photos": photos}, indent=1))
