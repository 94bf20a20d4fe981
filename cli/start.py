"""Where the command begins: the watcher is there before anything is imported that takes long."""

from __future__ import annotations

from .guard import guarded


def main() -> None:
    """Run the command line that the process was started with."""
    guarded(_work)


def _work() -> int:
    from .main import work

    return work()


if __name__ == "__main__":
    main()
