"""Write the snapshot of the OpenAPI document: `uv run python -m tests.tools.openapi`."""

import json
import os
from pathlib import Path

# The app doesn't start without a SECRET_KEY, which the document doesn't need.
os.environ.setdefault("FASTAPI_ENV", "development")

from app.main import app

SNAPSHOT = Path(__file__).with_name("openapi.json")

if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(app.openapi(), indent=2) + "\n")
    print(f"Wrote {SNAPSHOT}")
