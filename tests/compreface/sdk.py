"""Drives a running `kith serve` with CompreFace's own client, and with plain requests where that has no call.

Arguments: origin of the service, a key for everything, a key that may only read, folder of photos.
"""
import base64
import sys
import uuid
from pathlib import Path

import requests
from compreface import CompreFace

ORIGIN, KEY, READER, PHOTOS = sys.argv[1:5]
DOMAIN, PORT = ORIGIN.rsplit(":", 1)


def photo(name):
    return str(Path(PHOTOS) / name)


GRACE, TILTED, EILEEN = photo("grace_hopper.jpg"), photo("hopper_tilt.jpg"), photo("astronaut.png")
TWO, NONE = photo("two_faces.jpg"), photo("no_face.jpg")


def raw(method, path, key=KEY, **more):
    return requests.request(method, f"{ORIGIN}/api/v1{path}", headers={"x-api-key": key}, timeout=120, **more)


def refused(answer, code, status=None):
    if status is not None:
        assert answer.status_code == status, (answer.status_code, answer.text)
        answer = answer.json()
    assert set(answer) == {"message", "code"} and answer["code"] == code and answer["message"], answer


def same(one, other):
    assert one == other, f"{one} is not {other}"


client = CompreFace(DOMAIN, PORT, {"det_prob_threshold": 0.8})
recognition = client.init_face_recognition(KEY)
detection = client.init_face_detection(KEY)
verification = client.init_face_verification(KEY)
subjects, faces = recognition.get_subjects(), recognition.get_face_collection()


def subjects_by_the_sdk():
    same(subjects.list(), {"subjects": []})
    same(subjects.add("Grace"), {"subject": "Grace"})
    refused(subjects.add("Grace"), 43)
    same(subjects.update("Grace", "Grace Hopper"), {"updated": True})
    refused(subjects.update("Nobody", "Somebody"), 42)
    same(subjects.add("Eileen"), {"subject": "Eileen"})
    same(subjects.list(), {"subjects": ["Eileen", "Grace Hopper"]})
    same(subjects.delete("Eileen"), {"subject": "Eileen"})
    refused(subjects.delete("Eileen"), 42)
    same(subjects.add("Somebody"), {"subject": "Somebody"})
    same(subjects.delete_all(), {"deleted": 2})
    same(subjects.list(), {"subjects": []})


def examples_by_the_sdk():
    grace = faces.add(GRACE, "Grace Hopper")
    same(grace["subject"], "Grace Hopper")
    same(str(uuid.UUID(grace["image_id"])), grace["image_id"])
    eileen = faces.add(Path(EILEEN).read_bytes(), "Eileen Collins", {"det_prob_threshold": 0.9})
    refused(faces.add(NONE, "Nobody"), 28)
    refused(faces.add(TWO, "Nobody"), 31)
    # kith's own gate: this face is Grace's already.
    refused(faces.add(TILTED, "Nobody"), 26)
    same(faces.list(), {"faces": [eileen, grace], "page_number": 0, "page_size": 20, "total_pages": 1, "total_elements": 2})
    return grace, eileen


def recognition_by_the_sdk(grace, eileen):
    everything = {"limit": 0, "det_prob_threshold": 0.8, "prediction_count": 2,
                  "face_plugins": "calculator,landmarks", "status": True}
    answer = recognition.recognize(TILTED, everything)
    [face] = answer["result"]
    same([s["subject"] for s in face["subjects"]], ["Grace Hopper", "Eileen Collins"])
    assert 0.5 < face["subjects"][0]["similarity"] <= 1 and 0 <= face["subjects"][1]["similarity"] < 0.5, face
    same(set(face["box"]), {"probability", "x_min", "y_min", "x_max", "y_max"})
    same((len(face["landmarks"]), len(face["embedding"])), (5, 128))
    assert face["execution_time"]["detector"] > 0 and answer["plugins_versions"]["detector"], answer
    [plain] = recognition.recognize(TILTED)["result"]
    same(set(plain), {"box", "subjects"})
    same(len(plain["subjects"]), 1)
    same(plain["box"]["x_min"], face["box"]["x_min"])
    refused(recognition.recognize(NONE), 28)
    assert len(recognition.recognize(TWO)["result"]) == 2 and len(recognition.recognize(TWO, {"limit": 1})["result"]) == 1

    [match] = faces.verify(TILTED, grace["image_id"])["result"]
    [other] = faces.verify(TILTED, eileen["image_id"])["result"]
    assert match["similarity"] > 0.5 > other["similarity"], (match, other)
    refused(faces.verify(TILTED, str(uuid.uuid4())), 44)

    found = detection.detect(TWO, {"limit": 0, "face_plugins": "landmarks"})["result"]
    same([set(f) for f in found], [{"box", "landmarks"}] * 2)
    areas = [(f["box"]["x_max"] - f["box"]["x_min"]) * (f["box"]["y_max"] - f["box"]["y_min"]) for f in found]
    assert areas[0] >= areas[1], "the biggest face comes first"
    [biggest] = detection.detect(TWO, {"limit": 1})["result"]
    same(biggest["box"], found[0]["box"])

    [one] = verification.verify(GRACE, TILTED)["result"]
    assert one["face_matches"][0]["similarity"] > 0.5 and set(one["source_image_face"]) == {"box"}, one
    [two] = verification.verify(EILEEN, TWO, {"status": True})["result"]
    similarities = [m["similarity"] for m in two["face_matches"]]
    same(similarities, sorted(similarities, reverse=True))
    assert two["plugins_versions"]["calculator"] and len(similarities) == 2, two
    refused(verification.verify(TWO, GRACE), 31)
    return face["embedding"]


def what_the_sdk_has_no_call_for(grace, eileen, embedding):
    same(raw("GET", "/recognition/subjects/").json(), {"subjects": ["Eileen Collins", "Grace Hopper"]})
    page = raw("GET", "/recognition/faces", params={"page": 1, "size": 1}).json()
    same(page, {"faces": [grace], "page_number": 1, "page_size": 1, "total_pages": 2, "total_elements": 2})
    same(raw("GET", "/recognition/faces", params={"subject": "Eileen Collins"}).json()["faces"], [eileen])
    same(raw("GET", "/recognition/faces", params={"subject": "Nobody"}).json()["total_elements"], 0)

    image = raw("GET", f"/recognition/faces/{grace['image_id']}/img")
    same((image.status_code, image.headers["content-type"], image.content[:2]), (200, "image/jpeg", b"\xff\xd8"))
    keyed = requests.get(f"{ORIGIN}/api/v1/static/{READER}/images/{grace['image_id']}", timeout=60)
    same((keyed.status_code, keyed.content), (200, image.content))
    refused(requests.get(f"{ORIGIN}/api/v1/static/kith_wrong/images/{grace['image_id']}", timeout=60), 10, 401)
    refused(raw("GET", f"/recognition/faces/{uuid.uuid4()}/img"), 44, 404)
    refused(raw("GET", "/recognition/faces/7/img"), 36, 400)

    text = base64.b64encode(Path(TILTED).read_bytes()).decode()
    posed = raw("POST", "/recognition/recognize?face_plugins=pose", json={"file": text}).json()["result"][0]
    same(set(posed["pose"]), {"pitch", "roll", "yaw"})
    same(posed["subjects"][0]["subject"], "Grace Hopper")
    # As Double Take asks.
    with open(TILTED, "rb") as file:
        [asked] = raw("POST", "/recognition/recognize?face_plugins=&det_prob_threshold=0.8", files={"file": file}).json()["result"]
    same((asked["subjects"][0]["subject"], set(asked)), ("Grace Hopper", {"box", "subjects"}))
    pair = {"source_image": text, "target_image": text}
    alike = raw("POST", "/verification/verify", json=pair).json()["result"][0]["face_matches"][0]["similarity"]
    assert alike > 0.99, alike

    sent = {"embeddings": [embedding]}
    [known] = raw("POST", "/recognition/embeddings/recognize?prediction_count=2", json=sent).json()["result"]
    same([s["subject"] for s in known["similarities"]], ["Grace Hopper", "Eileen Collins"])
    same(len(known["embedding"]), 128)
    [near] = raw("POST", f"/recognition/embeddings/faces/{grace['image_id']}/verify", json=sent).json()["result"]
    assert abs(near["similarity"] - known["similarities"][0]["similarity"]) < 1e-6, (near, known)
    pair = {"source": embedding, "targets": [embedding, [-v for v in embedding]]}
    like, unlike = raw("POST", "/verification/embeddings/verify", json=pair).json()["result"]
    assert like["similarity"] > 0.99 and unlike["similarity"] < 0.01, (like, unlike)
    refused(raw("POST", "/recognition/embeddings/recognize", json={"embeddings": [[1.0, 2.0]]}), 36, 400)


def what_is_refused(grace):
    text = base64.b64encode(Path(GRACE).read_bytes()).decode()
    body = {"file": text}
    for query in ("face_plugins=age", "prediction_count=0", "limit=-1", "det_prob_threshold=2", "detect_faces=false"):
        answer = raw("POST", f"/recognition/recognize?{query}", json=body)
        refused(answer, 26, 400)
    assert "age" in raw("POST", "/recognition/recognize?face_plugins=age", json=body).json()["message"]
    refused(raw("POST", "/recognition/faces", json=body), 33, 400)
    refused(raw("POST", "/detection/detect", json={}), 34, 400)
    refused(raw("POST", "/detection/detect", data=b"text", params={}), 21, 400)
    refused(raw("POST", "/detection/detect", json={"file": base64.b64encode(b"no photo").decode()}), 21, 400)
    refused(raw("POST", "/detection/detect", json={"file": base64.b64encode(bytes((5 << 20) + 1)).decode()}), 0, 413)
    refused(requests.get(f"{ORIGIN}/api/v1/recognition/subjects", timeout=60), 20, 401)
    refused(raw("GET", "/recognition/subjects", key="kith_wrong"), 10, 401)
    same(raw("GET", "/recognition/subjects", key=READER).status_code, 200)
    refused(raw("DELETE", f"/recognition/faces/{grace['image_id']}", key=READER), 0, 403)
    refused(raw("POST", "/detection/detect", key=READER, json=body), 0, 403)
    refused(raw("GET", "/recognition/nothing"), 0, 404)


def merging_and_forgetting(grace, eileen):
    second = faces.add(TILTED, "Grace Hopper")
    same(subjects.update("Eileen Collins", "Grace Hopper"), {"updated": True})
    same(raw("GET", "/recognition/faces", params={"subject": "Grace Hopper"}).json()["total_elements"], 3)
    same(faces.delete(eileen["image_id"]), {"image_id": eileen["image_id"], "subject": "Grace Hopper"})
    refused(faces.delete(eileen["image_id"]), 44)
    gone = raw("POST", "/recognition/faces/delete", json=[grace["image_id"], str(uuid.uuid4()), eileen["image_id"]]).json()
    same(gone, [grace])
    same(faces.list()["faces"], [second])
    same(faces.delete_all("Nobody"), {"deleted": 0})
    same(faces.delete_all("Grace Hopper"), {"deleted": 1})
    faces.add(GRACE, "Grace Hopper")
    faces.add(EILEEN, "Eileen Collins")
    same(raw("DELETE", "/recognition/faces").json(), {"deleted": 2})
    same(subjects.list(), {"subjects": ["Eileen Collins", "Grace Hopper"]})


subjects_by_the_sdk()
print("ok: subjects by the SDK")
GRACE_FACE, EILEEN_FACE = examples_by_the_sdk()
print("ok: examples by the SDK")
EMBEDDING = recognition_by_the_sdk(GRACE_FACE, EILEEN_FACE)
print("ok: recognition, detection and verification by the SDK")
what_the_sdk_has_no_call_for(GRACE_FACE, EILEEN_FACE, EMBEDDING)
print("ok: pages, pictures, plugins and vectors")
what_is_refused(GRACE_FACE)
print("ok: refusals in CompreFace's form")
merging_and_forgetting(GRACE_FACE, EILEEN_FACE)
print("ok: merging and forgetting")
print("every call was answered as CompreFace answers it")
