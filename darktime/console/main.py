"""The entry points ``darktime`` and ``darkesttime``: lazy commands, one map from errors to exit codes."""

from __future__ import annotations

import importlib
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darktime import __version__
from darktime.console.configuration import load_defaults
from darktime.errors import DarktimeError, ExitCode
from darktime.extras import EXTRAS, remedy
from realtime_core.errors import RealtimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTEXT = {
    "auto_envvar_prefix": "DARKTIME",
    "show_default": True,
    "max_content_width": 100,
    "help_option_names": ["-h", "--help"],
}
EXIT_CODES = """\b
Exit codes: 0 pass or GO, 1 unexpected error, 2 usage or configuration, 3 threshold failed or NO-GO,
            4 run invalid (the generator was the limit), 5 WAIT (not enough data), 130 interrupted."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is used: ``--help`` loads neither locust nor gevent."""

    def __init__(self, *, modules: dict[str, tuple[str, str]], **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self._modules = modules

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The commands, in the order in which people meet them."""
        return list(self._modules)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Import the module of a command; ``console/NAME.py`` defines ``command``."""
        if name not in self._modules:
            return None
        command: click.Command = importlib.import_module(f"darktime.console.{self._modules[name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and suggest the nearest for a typing error."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self._modules, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx=ctx) from error
            raise

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in self._modules.items()])


def group(name: str, summary: str, modules: dict[str, tuple[str, str]]) -> LazyGroup:
    """One of the two command lines."""
    made = LazyGroup(
        name=name,
        modules=modules,
        context_settings=dict(CONTEXT),
        help=f"{summary}\n\n{EXIT_CODES}",
        params=[
            click.Option(
                ["--config"],
                type=click.Path(dir_okay=False, path_type=Path),
                default=Path("darktime.toml"),
                is_eager=True,
                expose_value=False,
                callback=load_defaults,
                help="Settings file; flags and DARKTIME_… variables come before it.",
            )
        ],
    )
    return click.version_option(__version__, prog_name=name)(made)


DARKTIME = group(
    "darktime",
    "Know before your users do whether new realtime code holds: mirror a percentage of production USERS to it.",
    {
        "demo": ("demo", "Watch the main job on this machine, about a minute."),
        "plan": ("plan", "What a split would do, told from an access log: users, copies, keys, risks."),
        "split": ("split", "Mirror a percentage of production users to a dark instance; GO, NO-GO or WAIT."),
        "record": ("record", "Keep a percentage of production users' requests in a file; nothing is sent anywhere."),
        "replay": (
            "replay",
            "Send a recording, or an access log, to one instance: same order, same spacing, at speed.",
        ),
        "relay": ("relay", "Behind somebody else's mirror: copy a percentage of its users to a dark instance."),
        "init": ("init", "Write a darktime.toml to start from."),
        "ramp": ("ramp", "Change the percentage of a running split, without a reload."),
        "kill": ("kill", "End all mirroring of a running split at once."),
        "status": ("status", "How a running split stands, redrawn while it runs."),
        "who": ("who", "Whether a user is sampled, and from which percentage on."),
        "verdict": ("verdict", "Judge a finished split again, by other margins if need be; offline."),
        "report": ("report", "Make the HTML page, text or JUnit of a finished run again."),
        "pipeline": ("pipeline", "Run the workers that take jobs to push boxes; check a pipeline with sample jobs."),
        "queue": (
            "queue",
            "What a job queue holds; whether its books balance; stalled jobs, and what to do with them.",
        ),
        "smoke": ("smoke", "The demo as a CI run: JUnit, JSON, exit code, two minutes at the most."),
        "doctor": ("doctor", "What is there, what is missing, and the remedy."),
    },
)
DARKESTTIME = group(
    "darkesttime",
    "Find where one instance breaks, and who was the limit.",
    {
        "blast": ("blast", "Saturate ONE instance with swarms; a capacity with evidence, or the reason there is none."),
        "compare": ("compare", "Two finished runs: better, worse or cannot tell, with the interval."),
    },
)


def run(command: click.Command, argv: Sequence[str] | None = None) -> int:
    """Run a command line; every way out is one of the documented exit codes."""
    name = command.name or "darktime"
    try:
        code = command.main(args=list(argv) if argv is not None else None, standalone_mode=False)
        return int(code or ExitCode.OK)
    except click.ClickException as error:
        click.secho(one_line(name, error), fg="red", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.secho(f"{name}: interrupted", fg="yellow", err=True)
        return ExitCode.INTERRUPTED
    except (DarktimeError, RealtimeError) as error:
        click.secho(f"{name}: {error}", fg="red", err=True)
        return int(error.exit_code)
    except PermissionError as error:
        click.secho(f"{name}: {error.filename or 'this folder'}: {error.strerror}; {PERMITTED}", fg="red", err=True)
        return ExitCode.USAGE
    except ModuleNotFoundError as error:
        sentence = missing_extra(error)
        if sentence is None:
            return unexpected(name)
        click.secho(f"{name}: {sentence}", fg="red", err=True)
        return ExitCode.USAGE
    except Exception:  # noqa: BLE001 - the one place where everything ends
        return unexpected(name)


def one_line(name: str, error: click.ClickException) -> str:
    """What is wrong with a command line, and where to look for what is right."""
    told = " ".join(error.format_message().split())
    at = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
    return f"{at}: {told} ('{at} --help' says more)" if at else f"{name}: {told}"


PERMITTED = "run it as a user who may use that, or in another folder"


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """The sentence that names the extra whose package is not installed; None when it is none of ours."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return f"this needs {package}, which is not installed: {remedy([package])}"


def unexpected(name: str) -> int:
    """Keep the traceback in a file and say where it is."""
    with tempfile.NamedTemporaryFile("w", prefix=f"{name}-", suffix=".txt", delete=False) as kept:
        traceback.print_exc(file=kept)
    last = traceback.format_exc().strip().splitlines()[-1]
    click.secho(f"{name}: unexpected error: {last}\nThe traceback is in {kept.name}", fg="red", err=True)
    return ExitCode.ERROR


def darktime() -> None:
    """Entry point of ``darktime``."""
    sys.exit(run(DARKTIME))


def darkesttime() -> None:
    """Entry point of ``darkesttime``."""
    sys.exit(run(DARKESTTIME))
