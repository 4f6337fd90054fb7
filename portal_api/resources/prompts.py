"""`/prompts`: the audio that callers hear, uploaded or spoken from text."""

from pathlib import PurePath
from typing import Annotated, Literal, Self

from aiohttp import web
from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic_core import PydanticCustomError

from portal_api.audio import AudioQuery, send_wav
from portal_api.forms import Form, enough_room
from portal_api.problems import UsedBy
from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven, Name, PageOf, PageQuery, Timestamp
from store import prompts
from store.errors import InUse, NotFound
from store.models import Prompt as PromptRow
from store.models import PromptPurpose
from voices.advice import Advice, advice_on_start
from voices.limits import LONGEST_TEXT
from voices.patterns import DEFAULT, PATTERNS, VoiceId
from voices.templates import TEMPLATES

resource = Resource("音声")

ADVICE = {
    Advice.LIMIT_NOT_MENTIONED: "録音が50秒以内であることを案内に入れてください。",
    Advice.HASH_NOT_MENTIONED: "録音の終わりに「#」を押すことを案内に入れてください。",
}
STARTING = {PromptPurpose.START, PromptPurpose.CLOSED}
"""What a caller hears before the tone."""

ADVICE_HEADER = "X-Prompt-Warnings"


def _storable(text: str) -> str:
    if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text):
        raise PydanticCustomError("text", "使えない文字が含まれています。")
    return text


Script = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TEXT),
    AfterValidator(_storable),
]
VoiceGiven = Annotated[VoiceId, Field(description="音声パターン。/prompts/voices にあるid")]
PurposeGiven = Annotated[
    PromptPurpose,
    Field(description="start 開始音声、closed 営業時間外の開始音声、end 終了音声、recording 通話録音の案内"),
]


class PromptWarning(BaseModel):
    """開始音声に足りないこと。登録はできている"""

    code: Advice
    detail: str


class Prompt(BaseModel):
    id: str
    number_id: str
    name: str
    text: str | None = Field(description="話している内容。アップロードでは入力されたときだけ")
    voice: str | None = Field(description="テキストから生成した音声パターン。アップロードではnull")
    purpose: PromptPurpose | None
    file_name: str | None = Field(description="アップロードされたファイルの名前")
    duration_s: float
    created_at: Timestamp
    warnings: list[PromptWarning] = Field(description="開始音声として案内に足りないこと")

    @classmethod
    def of(cls, prompt: PromptRow, starts_a_rule: bool = False) -> Self:
        return cls(
            id=prompt.id,
            number_id=prompt.number_id,
            name=prompt.name,
            text=prompt.text,
            voice=prompt.voice,
            purpose=prompt.purpose,
            file_name=prompt.file_name,
            duration_s=prompt.duration_s,
            created_at=prompt.created_at,
            warnings=_warnings(prompt.text, starts_a_rule or prompt.purpose in STARTING),
        )


class Prompts(PageOf[Prompt]):
    """音声の1ページ。作成順"""


class PromptQuery(PageQuery):
    number_id: IdGiven | None = None


class PromptPreview(Body):
    """試聴するテキスト。何も保存しない"""

    text: Script
    voice: VoiceGiven = DEFAULT.id
    purpose: PurposeGiven = PromptPurpose.START


class SpokenPrompt(PromptPreview):
    """テキストから生成する音声。文の終わりの「っっ」は1秒の間になる"""

    number_id: IdGiven
    name: Name


class UploadedPrompt(Form):
    """アップロードする音声。WAV、MP3、M4A、OGG、FLAC。20 MB、120秒まで"""

    number_id: IdGiven
    name: Name | None = Field(default=None, description="省略するとファイルの名前")
    purpose: PurposeGiven = PromptPurpose.START
    text: Script | None = Field(default=None, description="話している内容(任意)")


class PromptChange(Body):
    """指定した項目だけを変える"""

    # The made-up defaults are never used: only the fields that were sent are read.
    name: Name = Field(default_factory=str)
    purpose: PurposeGiven = PromptPurpose.START


class PromptSelection(Body):
    ids: Annotated[list[IdGiven], Field(min_length=1, max_length=100)]


class PromptDeletion(BaseModel):
    id: str
    result: Literal["deleted", "not_found", "in_use"]
    used_by: list[UsedBy] = Field(default=[], description="使用中のルール(resultがin_useのとき)")


class PromptDeletions(BaseModel):
    results: list[PromptDeletion]


class VoicePattern(BaseModel):
    id: VoiceId
    name: str
    description: str


class VoicePatterns(BaseModel):
    items: list[VoicePattern]


class PromptTemplate(BaseModel):
    id: str
    purpose: PromptPurpose
    name: str
    text: str


class PromptTemplates(BaseModel):
    """文例。〇〇は置き換えて使う"""

    items: list[PromptTemplate]


@resource.get("/prompts", "音声の一覧")
async def list_prompts(ask: Ask, account_id: str, query: PromptQuery) -> Prompts:
    async with ask.session() as session:
        page = await prompts.list_prompts(session, account_id, query.number_id, query.page())
        starting = await prompts.started_with(session, [row.id for row in page.items])
    return Prompts(items=[Prompt.of(row, row.id in starting) for row in page.items], next=page.next_text)


@resource.post("/prompts", "音声を登録する。テキストから生成するか、ファイルをアップロードする", status=201)
async def create_prompt(ask: Ask, account_id: str, body: SpokenPrompt | UploadedPrompt) -> Prompt:
    if isinstance(body, UploadedPrompt):
        return await _keep_upload(ask, account_id, body)
    return await _keep_spoken(ask, account_id, body)


@resource.post(
    "/prompts:preview",
    "音声を試聴する。足りないことのcodeは X-Prompt-Warnings ヘッダーに",
    produces="audio/wav",
)
async def preview_prompt(ask: Ask, account_id: str, body: PromptPreview) -> web.StreamResponse:
    wav = await ask.parts.studio.speak(body.text, PATTERNS[body.voice])
    missing = ",".join(one.code for one in _warnings(body.text, body.purpose in STARTING))
    return web.Response(body=wav, content_type="audio/wav", headers={ADVICE_HEADER: missing})


@resource.post("/prompts:delete", "音声をまとめて削除する。ルールで使用中のものは in_use")
async def delete_prompts(ask: Ask, account_id: str, body: PromptSelection) -> PromptDeletions:
    return PromptDeletions(
        results=[await _delete_if_free(ask, account_id, wanted) for wanted in dict.fromkeys(body.ids)]
    )


@resource.get("/prompts/voices", "4種類の音声パターン")
async def list_voices() -> VoicePatterns:
    return VoicePatterns.model_validate({"items": list(PATTERNS.values())}, from_attributes=True)


@resource.get("/prompts/templates", "案内の文例")
async def list_templates() -> PromptTemplates:
    return PromptTemplates.model_validate({"items": list(TEMPLATES)}, from_attributes=True)


@resource.get("/prompts/{prompt_id}", "音声の情報")
async def get_prompt(ask: Ask, account_id: str, prompt_id: str) -> Prompt:
    async with ask.session() as session:
        row = await prompts.get_prompt(session, account_id, prompt_id)
        return Prompt.of(row, bool(await prompts.started_with(session, [row.id])))


@resource.patch("/prompts/{prompt_id}", "音声の名前と用途を変える")
async def change_prompt(ask: Ask, account_id: str, prompt_id: str, body: PromptChange) -> Prompt:
    async with ask.session() as session:
        changes = body.model_dump(exclude_unset=True)
        row = await prompts.change_prompt(session, account_id, prompt_id, **changes)
        return Prompt.of(row, bool(await prompts.started_with(session, [row.id])))


@resource.delete("/prompts/{prompt_id}", "音声を削除する。ルールで使用中なら in_use")
async def delete_prompt(ask: Ask, account_id: str, prompt_id: str) -> None:
    async with ask.session() as session:
        await prompts.delete_prompt(session, ask.parts.media, account_id, prompt_id)


@resource.get("/prompts/{prompt_id}/audio", "音声ファイル", produces="audio/wav")
async def get_prompt_audio(
    ask: Ask, account_id: str, prompt_id: str, query: AudioQuery
) -> web.StreamResponse:
    async with ask.session() as session:
        prompt = await prompts.get_prompt(session, account_id, prompt_id)
    path = ask.parts.media.path(prompts.media_name(prompt.sha256))
    file_name = f"{prompt.name.replace('/', '_')}.wav" if query.download else None
    return await send_wav(ask.request, path, prompt.sha256, file_name)


async def _keep_spoken(ask: Ask, account_id: str, body: SpokenPrompt) -> Prompt:
    await _refuse_early(ask, account_id, body.number_id)
    wav = await ask.parts.studio.speak(body.text, PATTERNS[body.voice])
    with enough_room():
        async with ask.session() as session:
            row = await prompts.add_prompt(
                session,
                ask.parts.media,
                account_id,
                body.number_id,
                body.name,
                wav,
                text=body.text,
                voice=body.voice,
                purpose=body.purpose,
            )
    return Prompt.of(row)


async def _keep_upload(ask: Ask, account_id: str, body: UploadedPrompt) -> Prompt:
    await _refuse_early(ask, account_id, body.number_id)
    wav = await ask.parts.studio.prepare(body.file.content)
    with enough_room():
        async with ask.session() as session:
            row = await prompts.add_prompt(
                session,
                ask.parts.media,
                account_id,
                body.number_id,
                body.name or PurePath(body.file.name or "音声").stem,
                wav,
                text=body.text,
                purpose=body.purpose,
                file_name=body.file.name,
            )
    return Prompt.of(row)


async def _refuse_early(ask: Ask, account_id: str, number_id: str) -> None:
    """Before the work is done; `add_prompt` looks again."""
    async with ask.session() as session:
        await prompts.refuse_unfit_number(session, account_id, number_id)


async def _delete_if_free(ask: Ask, account_id: str, prompt_id: str) -> PromptDeletion:
    try:
        await delete_prompt(ask, account_id, prompt_id)
    except NotFound:
        return PromptDeletion(id=prompt_id, result="not_found")
    except InUse as refusal:
        used_by = [UsedBy(kind=use.kind, id=use.id, name=use.name) for use in refusal.used_by]
        return PromptDeletion(id=prompt_id, result="in_use", used_by=used_by)
    return PromptDeletion(id=prompt_id, result="deleted")


def _warnings(text: str | None, starts: bool) -> list[PromptWarning]:
    if text is None or not starts:
        return []
    return [PromptWarning(code=advice, detail=ADVICE[advice]) for advice in advice_on_start(text)]
