"""What the command line takes: the commands, their options and their words."""

import argparse
from pathlib import Path
from typing import Final

_EPILOG: Final = """settings are read from the environment and from .env: PLAYGROUND_ENGINE_URL,
PLAYGROUND_HOST, PLAYGROUND_PORT and the others that .env.example explains."""


def create_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        prog="playground",
        description="A browser playground for ContextualAI/Contextual_KTO_Mistral_PairRM.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    serving = commands.add_parser(
        "serve", help="the page, in front of an engine that runs elsewhere", epilog=_EPILOG
    )
    demonstration = commands.add_parser(
        "demo", help="the page and llama.cpp on this machine, in one go", epilog=_EPILOG
    )
    demonstration.add_argument(
        "--model",
        metavar="MODEL",
        help="a GGUF file, or owner/name[:QUANTISATION] on the Hub, in the place of SmolLM2",
    )
    checking = commands.add_parser(
        "check", help="what the engine says of itself, or what is wrong and the fix", epilog=_EPILOG
    )
    checking.add_argument(
        "--samplers",
        action="store_true",
        help="prove which of the seven parameters take effect, with some 260 short answers",
    )
    checking.add_argument("--json", action="store_true", help="print the check as JSON")
    for command in (serving, checking):
        command.add_argument(
            "--tgi-url",
            "--engine-url",
            dest="engine_url",
            metavar="URL",
            help="where the engine answers",
        )
    serving.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that serve the page (1); several want PLAYGROUND_LIMITS_URL",
    )
    for command in (serving, demonstration):
        command.add_argument("--host", help="address to listen on (127.0.0.1)")
        command.add_argument(
            "--port", type=int, help="port to listen on (7860); 0 takes a free one"
        )
        command.add_argument(
            "--tunnel",
            action="store_true",
            default=None,
            help="also open a temporary public address, by Gradio's tunnel",
        )
        command.add_argument(
            "--open",
            action="store_true",
            default=None,
            help="let everybody in who reaches it, without a login",
        )
    _add_users(commands)
    _add_share(commands)
    _add_backup(commands)
    return parser


def _add_users(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The parser of `playground users` and of what stands behind it."""
    users = commands.add_parser("users", help="who may log in: add, remove, passwd, list")
    does = users.add_subparsers(dest="does", required=True, metavar="add|remove|passwd|list")
    for does_what, words in (
        ("add", "a new name and its password"),
        ("passwd", "another password; it ends all logins of that name"),
        ("remove", "take a name out; it ends all its logins"),
    ):
        command = does.add_parser(does_what, help=words)
        command.add_argument("name", metavar="NAME")
        if does_what != "remove":
            command.add_argument(
                "--password-stdin",
                action="store_true",
                help="read the password from standard input instead of asking for it",
            )
    does.add_parser("list", help="all names, one a line")


def _add_share(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The parser of `playground share` and of what stands behind it."""
    share = commands.add_parser(
        "share", help="links to demos and snapshots: make, list, switch off"
    )
    does = share.add_subparsers(
        dest="does", required=True, metavar="demo|list|off|on|delete|revoke"
    )
    demo = does.add_parser("demo", help="a link under which others try a fixed set-up")
    demo.add_argument("--title", required=True, help="what visitors read first")
    demo.add_argument(
        "--preset",
        action="append",
        required=True,
        metavar="ID",
        help="a preset of this server; up to four are tried side by side",
    )
    demo.add_argument("--system", default="", metavar="TEXT", help="a system text, which is shown")
    demo.add_argument(
        "--system-file", type=Path, metavar="FILE", help="a file with the system text in it"
    )
    demo.add_argument(
        "--budget", type=int, required=True, metavar="N", help="tokens that all answers may take"
    )
    demo.add_argument(
        "--max-new-tokens", type=int, metavar="N", help="tokens that one answer may take"
    )
    demo.add_argument("--seed", type=int, metavar="N", help="the same answers for the same words")
    demo.add_argument(
        "--expires", metavar="TIME", help="how long the link works: 30m, 12h, 7d, 2w; else for good"
    )
    does.add_parser("list", help="all demo links and snapshots, with whose they are")
    for does_what, words in (
        ("off", "switch a demo off; running answers end within seconds"),
        ("on", "switch a demo on again"),
        ("delete", "delete a demo link"),
        ("revoke", "withdraw a snapshot"),
    ):
        does.add_parser(does_what, help=words).add_argument(
            "link", metavar="LINK", help="the link, or the token at its end"
        )


def _add_backup(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The parsers of `playground backup` and `playground restore`."""
    for name, words, force in (
        (
            "backup",
            "all that is kept (links, budgets, users, the secret) into one file",
            "write over the file",
        ),
        ("restore", "put back what a backup holds", "in the place of all that is there"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument(
            "file", type=Path, metavar="FILE", help="the backup; - is standard output or input"
        )
        command.add_argument("--force", action="store_true", help=force)
