"""What schemathesis sends where the description asks for a photo: real ones, small enough to be quick."""
import base64
import os
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

FOLDER = Path(os.environ["KITH_PHOTOS"])
PHOTOS = [(FOLDER / name).read_bytes() for name in ("hopper_crop.jpg", "astronaut_q30.jpg")]

schemathesis.openapi.format("binary", st.sampled_from(PHOTOS))
schemathesis.openapi.format("byte", st.sampled_from([base64.b64encode(p).decode() for p in PHOTOS]))
