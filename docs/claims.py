"""Ask the questions behind docs/claims.md and docs/hazards.md, and write both anew: `python -m tdpcheck.docs.claims`."""

from __future__ import annotations

import sys
from pathlib import Path

from tdpcheck.api.claims import claim_table
from tdpcheck.reports.claims import markdown
from tdpcheck.runner.claims import TABLES


def page(name: str) -> Path:
    """Where the table of that name stands."""
    return Path(__file__).with_name(f"{name}.md")


def main() -> None:
    for name in TABLES:
        found = claim_table(name=name, progress=lambda said: print(said, file=sys.stderr))
        page(name).write_text(markdown(found), encoding="utf-8")
        print(f"{page(name).name}: written")


if __name__ == "__main__":
    main()
