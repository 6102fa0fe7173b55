"""Holds /openapi.json against the standard, and drives the service with the client that is generated from it.

Arguments: origin, key, folder of photos, folder to work in.
"""
import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

from openapi_spec_validator import OpenAPIV31SpecValidator

origin, key, photos, work = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])

with urlopen(f"{origin}/openapi.json") as answer:
    api = json.load(answer)
(work / "openapi.json").write_text(json.dumps(api))
faults = [f"{list(e.absolute_path)}: {e.message}" for e in OpenAPIV31SpecValidator(api).iter_errors()]
assert not faults, "\n".join(faults)
print(f"ok: {len(api['paths'])} paths, valid OpenAPI {api['openapi']}")

# The generator knows the bytes of a body by this name.
(work / "generator.yaml").write_text("content_type_overrides:\n  image/jpeg: application/octet-stream\n")
generated = subprocess.run(
    [sys.executable, "-m", "openapi_python_client", "generate", "--path", work / "openapi.json", "--meta", "none",
     "--output-path", work / "kith_client", "--config", work / "generator.yaml"],
    capture_output=True, text=True, check=True,
)
# What it could not make anything of is told, and left out.
assert "could not" not in generated.stdout.lower(), generated.stdout
# It forgets an import in the calls that take a body in several forms and no options (as of 0.29.1).
for call in (work / "kith_client" / "api").rglob("*.py"):
    call.write_text(call.read_text().replace("import Response, UNSET\n", "import Response, UNSET, Unset\n"))
sys.path.insert(0, str(work))

from kith_client import AuthenticatedClient  # noqa: E402
from kith_client.api.access import decide  # noqa: E402, F401
from kith_client.api.identify import compare, detect, identify, verify  # noqa: E402
from kith_client.api.people import enroll, list_people, show_person  # noqa: E402
from kith_client.models import Box, PairFiles, PhotoFile, Threshold  # noqa: E402
from kith_client.types import File  # noqa: E402

client = AuthenticatedClient(base_url=origin, token=key, raise_on_unexpected_status=True)


def file(name):
    return File(payload=BytesIO((photos / name).read_bytes()), file_name=name, mime_type="image/jpeg")


added = enroll.sync("Grace Hopper", client=client, body=PhotoFile(file=file("grace_hopper.jpg")))
assert added.status == "added", added
assert [p.name for p in list_people.sync(client=client).people] == ["Grace Hopper"]
shown = show_person.sync("Grace Hopper", client=client)
assert isinstance(shown.faces[0].box, Box), shown

found = identify.sync(client=client, body=PhotoFile(file=file("hopper_tilt.jpg")))
face = found.faces[0]
assert face.name == "Grace Hopper" and face.candidates[0].similarity > 50, face
assert isinstance(face.box, Box) and face.box.x0 < face.box.x1, face
assert isinstance(face.threshold, Threshold) and face.candidates[0].distance < face.threshold.distance, face
assert len(detect.sync(client=client, body=PhotoFile(file=file("two_faces.jpg"))).faces) == 2

pair = PairFiles(a=file("grace_hopper.jpg"), b=file("hopper_tilt.jpg"))
verdict = verify.sync(client=client, body=pair)
assert verdict.same and verdict.distance < verdict.threshold.distance, verdict
assert compare.sync(client=client, body=pair).verdict.same

refused = identify.sync_detailed(client=client, body=PhotoFile(file=File(payload=BytesIO(b"no photo"), file_name="x")))
assert refused.status_code == 415 and refused.parsed.code == "photo.unknown_format", refused
print("ok: a generated client enrols, identifies, verifies and is told of problems")
