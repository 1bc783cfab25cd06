"""Mail taken apart at once and here, by the child's own functions: no process, no waiting."""

import base64

import trio

from node.ports import File, Listed, Shown, Words
from node.search import child


class InlineReader:
    """`ports.Reader`, for mail that is not hostile."""

    async def words(self, content: bytes) -> Words | None:
        await trio.lowlevel.checkpoint()
        return Words(**child.words(content, 0))

    async def page(self, content: bytes) -> Shown | None:
        await trio.lowlevel.checkpoint()
        found = child.page(content, 0)
        files = [Listed(*each) for each in found.pop("files")]
        return Shown(headers=dict(found.pop("headers")), files=files, **found)

    async def html(self, content: bytes) -> str | None:
        await trio.lowlevel.checkpoint()
        return child.markup(content, 0)

    async def file(self, content: bytes, number: int) -> File | None:
        await trio.lowlevel.checkpoint()
        found = child.file(content, number)
        if found is None:
            return None
        return File(found["name"], found["type"], base64.b64decode(found["data"]))

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()
