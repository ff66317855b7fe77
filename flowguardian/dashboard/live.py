"""Who watches the page, and what each of them has to be told: Server-Sent Events with nothing piling up.

Rule: nobody has a queue. Each page is sent the sections that differ from those it has, as they are at that
moment; one that reads slowly therefore gets the newest state later, not every state in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from flowguardian.dashboard.watch import RunWatch

PING_SECONDS = 15.0
"""Without news a comment is sent this often, so that a page that has gone is noticed."""
COST_SHARE = 9.0
"""After a look comes a pause at least this many times as long: a small machine belongs to the run."""
PAUSE_BEHIND_SECONDS = 0.05


class TooManyPages(Exception):
    """As many pages are open as the settings allow."""


class Live:
    """Looks at the run again and again, and wakes the pages when something changed."""

    def __init__(self, watch: RunWatch) -> None:
        self._watch = watch
        self._pages: set[asyncio.Event] = set()
        self._wanted = asyncio.Event()
        self._is_over = False

    @property
    def pages(self) -> int:
        """How many pages are open."""
        return len(self._pages)

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            changed = await asyncio.to_thread(self._watch.look)
            if changed:
                self._tell()
            await self._pause(loop.time() - began)

    async def _pause(self, cost_seconds: float) -> None:
        settings = self._watch.settings
        if self._watch.is_behind:
            seconds = PAUSE_BEHIND_SECONDS
        elif self._pages:
            seconds = max(float(settings.refresh_seconds), COST_SHARE * cost_seconds)
        else:
            seconds = float(settings.idle_refresh_seconds)
        self._wanted.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """End all streams, so that the server can end."""
        self._is_over = True
        self._tell()

    def reserve(self) -> asyncio.Event:
        """A place for one more page; raises TooManyPages."""
        if len(self._pages) >= self._watch.settings.clients:
            raise TooManyPages
        page = asyncio.Event()
        page.set()
        self._pages.add(page)
        self._wanted.set()
        return page

    def release(self, page: asyncio.Event) -> None:
        """Its place is free again."""
        self._pages.discard(page)

    async def stream(self, page: asyncio.Event) -> AsyncIterator[bytes]:
        """The events of one page."""
        told: dict[str, bytes] = {}
        while not self._is_over:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await page.wait()
            except TimeoutError:
                yield b": here\n\n"
                continue
            page.clear()
            event = _event(self._watch.sections, told)
            if event:
                yield event

    def _tell(self) -> None:
        for page in self._pages:
            page.set()


def _event(sections: Mapping[str, bytes], told: dict[str, bytes]) -> bytes:
    """The sections that differ from those told, as one event; they count as told from here on."""
    news = {name: body for name, body in sections.items() if told.get(name) != body}
    if not news:
        return b""
    told.update(news)
    body = b",".join(b'"%s":%s' % (name.encode(), part) for name, part in news.items())
    return b"data: {" + body + b"}\n\n"
