"""Write the snapshot of the OpenAPI document: `uv run python -m tests.tools.openapi`."""

import json
from pathlib import Path

from app.main import app

SNAPSHOT = Path(__file__).with_name("openapi.json")


def write_document() -> str:
    return json.dumps(app.openapi(), indent=2) + "\n"


if __name__ == "__main__":
    SNAPSHOT.write_text(write_document(), encoding="utf-8")
    print(f"Wrote {SNAPSHOT}")
