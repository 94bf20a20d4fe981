"""The front door: `main` runs a command, prints each error as one message, and chooses the exit code."""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from ..core.errors import EngineError, TdpcheckError
from ..runner.exit_codes import PRECEDENCE, ExitCode
from . import guard
from .echo import echo
from .harmless import harmless


@dataclass(frozen=True)
class Known:
    """A command: where it is defined, as `module:function`, and what it does, in the first sentence of its help."""

    home: str
    sentence: str


COMMANDS = {
    "bits": Known("bits:bits", "Ask the questions about every value of 64 bits: SPTE formats, flush ranges."),
    "cache": Known("cache_command:cache", "Show or clear the answers that are kept from run to run."),
    "check-certificate": Known(
        "check_certificate:check_certificate", "Check the proof in a certificate that `verify --out` or `prove --out` left (*.smt2)."
    ),
    "check-exercise": Known("exercise:check_exercise", "Tell the task of a lesson's exercise, or judge your patch."),
    "claims": Known("claims:claims", "Decide the claims of the thread, each by the runs behind it."),
    "coverage": Known(
        "coverage:coverage_command", "Tell which functions of a kernel tree are in the model, file by file, and why the others are not."
    ),
    "explain": Known("explain:explain", "Tell why a property holds for every size, and check each step of the argument."),
    "explore": Known("explore:explore", "Choose each step of SCENARIO (a name, or FILE.toml) yourself."),
    "export": Known("export:export", "Write one question for another checker: SMT-LIB, BTOR2, AIGER, Promela."),
    "hazards": Known("claims:hazards", "Show the hazards of the series, or rule them out, each by the runs behind it."),
    "list": Known("listing:list_", "List properties, scenarios, changes (the museum's), designs, intrinsics, goals, engines or formats."),
    "mcp": Known("mcp:mcp", "Serve the Model Context Protocol on standard input and output."),
    "museum": Known("museum:museum", "Find each known bug again, and check its good twin."),
    "mutate": Known("mutate:mutate", "Make small faults of the kernel C, and see which are found."),
    "prove": Known("prove:prove", "Prove properties for any number of pages, tables, roots, devices and threads of a scenario."),
    "race": Known("race:race", "Decide whether a race that somebody claims can happen."),
    "replay": Known("replay:replay", "Run a stored counterexample, or a run saved by explore, again without a solver."),
    "report": Known("report:report", "Make a report of the run that `verify --out OUT` left."),
    "show": Known("show:show", "Show a counterexample that `verify --out` left (*.cex.json)."),
    "spte": Known("spte:spte", "Tell what EPT, VT-d and KVM read in an entry of 64 bits."),
    "trace": Known("trace:trace", "Record what a running kernel's TDP MMU does, and ask whether the model has it."),
    "verify": Known("verify:verify", "Check properties in scenarios, with and without a change."),
}
"""Each command: what one of them needs is not imported for another, nor for the list of all."""


class Front(click.Group):
    """A group whose commands are imported when they are called, and never end in a traceback."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The exit codes, from where they stand."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), code.meaning) for code in ExitCode])
        with formatter.indentation():
            formatter.write_text(f"Where several apply, the first of {', '.join(str(c.value) for c in PRECEDENCE)} counts.")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].home.partition(":")
        command: click.Command = getattr(import_module(f".{module}", __package__), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, known.sentence) for name, known in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except click.UsageError as error:
            raise click.UsageError(harmless(error.format_message()), error.ctx) from None
        except (click.exceptions.Exit, SystemExit, guard.ReaderGone, guard.OutputLost):
            raise
        except guard.TimeUp:
            _complain(ctx, guard.time_is_up(), ExitCode.UNKNOWN)
        except click.ClickException as error:
            _complain(ctx, error.format_message(), ExitCode.BAD_INPUT)
        except EngineError as error:
            _complain(ctx, f"a fault of tdpcheck itself: {error}", ExitCode.UNKNOWN)
        except TdpcheckError as error:
            _complain(ctx, str(error), ExitCode.BAD_INPUT)
        except (KeyboardInterrupt, click.Abort):
            _complain(ctx, "interrupted", ExitCode.INTERRUPTED)
        except RecursionError:
            _complain(ctx, "the input nests too deep; split it", ExitCode.BAD_INPUT)
        except MemoryError:
            _complain(ctx, "there is not enough memory for this question; ask a smaller scenario or depth", ExitCode.UNKNOWN)
        except Exception as error:
            if os.environ.get("TDPCHECK_DEBUG"):
                traceback.print_exc()
            hint = "set TDPCHECK_DEBUG=1 to see where, and report it"
            _complain(ctx, f"a fault of tdpcheck itself: {type(error).__name__}: {error}; {hint}", ExitCode.UNKNOWN)
        return None


def _complain(ctx: click.Context, message: str, code: ExitCode) -> None:
    echo(f"tdpcheck: {message}", err=True)
    ctx.exit(code)


@click.group(cls=Front, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tdpcheck", message="%(prog)s %(version)s")
def tdpcheck() -> None:
    """Check changes to page tables that KVM and an IOMMU share."""


def work() -> int:
    """Do what the command line says; its exit code."""
    try:
        code = tdpcheck.main(prog_name="tdpcheck", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as end:
        if isinstance(end.__cause__, guard.TimeUp):
            return guard.complain(guard.time_is_up(), ExitCode.UNKNOWN)
        return guard.complain("interrupted", ExitCode.INTERRUPTED)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line that the process was started with."""
    guard.guarded(work)


if __name__ == "__main__":
    main()
