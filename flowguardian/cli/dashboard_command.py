"""`dashboard`: the page of one run, in a browser on this machine.

Rule: it looks at the run from outside; ending it (Ctrl-C) changes nothing for the run.
"""

from __future__ import annotations

from typing import Annotated

import typer

from flowguardian.cli import output
from flowguardian.cli.language import checked, choose
from flowguardian.cli.locate import RUNS, JsonOption, LanguageOption, RunArgument, RunsOption, find_run

SAID = {
    "en": "dashboard of {run}\n  {url}\n"
    "The address works once, in the browser that opens it first. Ctrl-C ends the page.",
    "ko": "{run} 의 대시보드\n  {url}\n"
    "주소는 처음 여는 브라우저에서 한 번만 쓸 수 있습니다. Ctrl-C 로 페이지를 끝냅니다.",
}


def dashboard(
    run: RunArgument = "",
    runs: RunsOption = RUNS,
    port: Annotated[int, typer.Option(help="Loopback port; 0 = any free one.", min=0, max=65535)] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    lang: LanguageOption = "",
    as_json: JsonOption = False,
) -> int:
    """Show a run in the browser: money, positions, why no trade, checkpoints, and buttons to steer it."""
    import asyncio

    from flowguardian.dashboard.launch import open_page, ready_line, settings_of
    from flowguardian.dashboard.server import listen, serve
    from flowguardian.dashboard.watch import RunWatch

    language = choose(checked(lang))
    place = find_run(run, runs)
    settings = settings_of(place)
    try:
        listener = listen(port or settings.port)
    except OSError as error:
        raise output.CliError(
            f"port {port or settings.port} cannot be used", where="--port", why=str(error),
            fix="choose another port, or 0 for any free one",
        ) from error  # fmt: skip

    def announce(url: str) -> None:
        print(ready_line(url) if as_json else SAID[language].format(run=place, url=url), flush=True)
        if settings.open_browser and not no_browser and not as_json:
            open_page(url)

    asyncio.run(serve(RunWatch(place, settings), listener, announce))
    return output.EXIT_OK
