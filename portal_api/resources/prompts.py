"""`/prompts`: the audio that callers hear."""

from typing import Self

from aiohttp import web
from pydantic import BaseModel

from portal_api.audio import AudioQuery, send_wav
from portal_api.routing import Ask, Resource
from portal_api.schemas import IdGiven, PageOf, PageQuery, Timestamp
from store import prompts
from store.models import Prompt as PromptRow

resource = Resource("音声")


class Prompt(BaseModel):
    id: str
    number_id: str
    name: str
    text: str | None
    duration_s: float
    created_at: Timestamp

    @classmethod
    def of(cls, prompt: PromptRow) -> Self:
        return cls(
            id=prompt.id,
            number_id=prompt.number_id,
            name=prompt.name,
            text=prompt.text,
            duration_s=prompt.duration_s,
            created_at=prompt.created_at,
        )


class Prompts(PageOf[Prompt]):
    """音声の1ページ。作成順"""


class PromptQuery(PageQuery):
    number_id: IdGiven | None = None


@resource.get("/prompts", "音声の一覧")
async def list_prompts(ask: Ask, account_id: str, query: PromptQuery) -> Prompts:
    async with ask.session() as session:
        page = await prompts.list_prompts(session, account_id, query.number_id, query.page())
    return Prompts(items=[Prompt.of(row) for row in page.items], next=page.next_text)


@resource.get("/prompts/{prompt_id}", "音声の情報")
async def get_prompt(ask: Ask, account_id: str, prompt_id: str) -> Prompt:
    async with ask.session() as session:
        return Prompt.of(await prompts.get_prompt(session, account_id, prompt_id))


@resource.get("/prompts/{prompt_id}/audio", "音声ファイル", produces="audio/wav")
async def get_prompt_audio(
    ask: Ask, account_id: str, prompt_id: str, query: AudioQuery
) -> web.StreamResponse:
    async with ask.session() as session:
        prompt = await prompts.get_prompt(session, account_id, prompt_id)
    path = ask.parts.media.path(prompts.media_name(prompt.sha256))
    file_name = f"{prompt.name.replace('/', '_')}.wav" if query.download else None
    return await send_wav(ask.request, path, prompt.sha256, file_name)
