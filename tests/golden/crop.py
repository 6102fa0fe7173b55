"""facenet-pytorch's crop of a box: crop.py ASTRONAUT_PNG, run in this folder. Writes chips/crop_*.png and crop.json.
A box that reaches beyond the photo is cut from a copy with a black border, so that facenet-pytorch does not clamp and
stretch it.
Needs facenet-pytorch 2.6.0 and Pillow 10.2.0 (whose bilinear resize it uses)."""
import json, sys
from PIL import Image, ImageOps
from facenet_pytorch.models.utils.detect_face import extract_face
BORDER = 200
image = ImageOps.expand(Image.open(sys.argv[1]).convert("RGB"), BORDER)
report = []
for i, (box, margin) in enumerate([([176.4, 70.2, 270.9, 198.6], 0), ([176.4, 70.2, 270.9, 198.6], 32), ([-10.0, -5.5, 60.2, 80.9], 14), ([400.0, 300.0, 530.7, 520.1], 40)]):
    chip = extract_face(image, [edge + BORDER for edge in box], image_size=160, margin=margin)
    Image.fromarray(chip.permute(1, 2, 0).byte().numpy()).save(f"chips/crop_{i}.png", optimize=True)
    report.append({"box": box, "margin": margin, "chip": f"crop_{i}.png"})
json.dump(report, open("crop.json", "w"))
