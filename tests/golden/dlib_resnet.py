"""dlib's descriptors on given chips: dlib_resnet.py PHOTO_FOLDER, run in this folder.

Cuts 150x150 chips (padding 0.25) from public-domain photos with dlib's own detector (largest face) and five-point
predictor, adds noise and ramps, and writes chips/*.png and dlib_resnet.json with the raw descriptors.
Needs dlib 19.24.6, face_recognition_models 0.3.0, Pillow 10.2.0.
"""
import hashlib, json, os, sys
import dlib, numpy as np, face_recognition_models as frm
from PIL import Image

model = frm.face_recognition_model_location()
net = dlib.face_recognition_model_v1(model)
points = dlib.shape_predictor(frm.pose_predictor_five_point_model_location())
faces = dlib.get_frontal_face_detector()
os.makedirs("chips", exist_ok=True)
chips = {}
for name in ("astronaut.png", "grace_hopper.jpg", "hopper_mirror.jpg", "hopper_dark.jpg", "hopper_tilt.jpg", "astronaut_q30.jpg"):
    image = np.array(Image.open(os.path.join(sys.argv[1], name)).convert("RGB"))
    found = faces(image, 1)
    chips[name.split(".")[0]] = dlib.get_face_chip(image, points(image, max(found, key=lambda r: r.area())), 150, 0.25)
rng = np.random.default_rng(150)
chips["noise"] = rng.integers(0, 256, (150, 150, 3), dtype=np.uint8)
ramp = np.arange(150, dtype=np.uint8)
chips["ramp"] = np.stack([np.tile(ramp, (150, 1)), np.tile(ramp[:, None], (1, 150)), np.full((150, 150), 90, np.uint8)], 2)
chips["black"] = np.zeros((150, 150, 3), np.uint8)
report = {"versions": {"dlib": dlib.__version__, "face_recognition_models": "0.3.0"},
          "weights_sha256": hashlib.sha256(open(model, "rb").read()).hexdigest(), "descriptors": {}}
for name, chip in chips.items():
    Image.fromarray(chip).save(f"chips/{name}.png", optimize=True)
    report["descriptors"][name] = list(net.compute_face_descriptor(np.ascontiguousarray(chip)))
json.dump(report, open("dlib_resnet.json", "w"))
print(report["versions"], report["weights_sha256"], list(report["descriptors"]))
