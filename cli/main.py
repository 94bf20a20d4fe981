"""The front door: `main` runs a command, prints each error as one message, and chooses the exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import click

from ..core.errors import EngineError, TdpcheckError
from .cache_command import cache
from .check_certificate import check_certificate
from .exercise import check_exercise
from .explain import explain
from .explore import explore
from .export import export
from .listing import list_
from .museum import museum
from .prove import prove
from .replay import replay
from .report import report
from .results import INTERRUPTED_CODE
from .show import show
from .verify import verify

BAD_INPUT, FAULT, BROKEN_PIPE = 2, 3, 141


class Front(click.Group):
    """A group whose commands never end in a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except click.UsageError:
            raise
        except click.ClickException as error:
            _complain(ctx, error.format_message(), BAD_INPUT)
        except EngineError as error:
            _complain(ctx, f"a fault of tdpcheck itself: {error}", FAULT)
        except TdpcheckError as error:
            _complain(ctx, str(error), BAD_INPUT)
        except (KeyboardInterrupt, click.Abort):
            _complain(ctx, "interrupted", INTERRUPTED_CODE)
        except BrokenPipeError:
            # Nobody reads any more; Python must not find that out again when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(BROKEN_PIPE)
        except (click.exceptions.Exit, SystemExit):
            raise
        except RecursionError:
            _complain(ctx, "the input nests too deep; split it", BAD_INPUT)
        except MemoryError:
            _complain(ctx, "there is not enough memory for this question; ask a smaller scenario or depth", FAULT)
        except Exception as error:
            if os.environ.get("TDPCHECK_DEBUG"):
                traceback.print_exc()
            hint = "set TDPCHECK_DEBUG=1 to see where, and report it"
            _complain(ctx, f"a fault of tdpcheck itself: {type(error).__name__}: {error}; {hint}", FAULT)
        return None


def _complain(ctx: click.Context, message: str, code: int) -> None:
    click.echo(f"tdpcheck: {message}", err=True)
    ctx.exit(code)


@click.group(cls=Front, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tdpcheck", message="%(prog)s %(version)s")
def tdpcheck() -> None:
    """Check changes to page tables that KVM and an IOMMU share."""


for _command in (verify, show, replay, report, explain, prove, check_exercise, explore, export, list_, museum, cache, check_certificate):
    tdpcheck.add_command(_command)


def main() -> None:
    """Run the command line that the process was started with."""
    tdpcheck.main(prog_name="tdpcheck")


if __name__ == "__main__":
    main()
