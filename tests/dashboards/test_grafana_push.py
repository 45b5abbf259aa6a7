"""Pushing the dashboards, against a fake of Grafana's HTTP API."""

import asyncio
from pathlib import Path

import pytest

from dashboards import grafana as pusher
from dashboards.config import GrafanaConfig
from tests.dashboards.fake_grafana import TOKEN, FakeGrafana, grafana


def config(fake: FakeGrafana, directory: Path, token: str = TOKEN) -> GrafanaConfig:
    """The configuration that reaches the fake."""
    (directory / "token").write_text(f"{token}\n")
    return GrafanaConfig(url=fake.url, token_file=directory / "token", folder="On call: fivenines")


async def push(settings: GrafanaConfig) -> list[str]:
    """Off the loop that serves the fake."""
    return await asyncio.to_thread(pusher.push, settings)


async def test_a_push_creates_folder_and_dashboard(tmp_path: Path) -> None:
    """The dashboard stands in its folder, and the line says where to look."""
    async with grafana() as fake:
        lines = await push(config(fake, tmp_path))
        assert lines == [f"Region now: created, {fake.url}d/fivenines-region-now"]
        assert list(fake.folders.values()) == ["On call: fivenines"]
        assert fake.dashboards["fivenines-region-now"]["meta"]["folderUid"] in fake.folders


async def test_a_second_push_changes_nothing(tmp_path: Path) -> None:
    """No new version when nothing changed; a change by hand is put right."""
    async with grafana() as fake:
        settings = config(fake, tmp_path)
        await push(settings)
        assert "unchanged" in (await push(settings))[0]
        assert (fake.writes, len(fake.folders)) == (1, 1)
        fake.dashboards["fivenines-region-now"]["dashboard"]["title"] = "Changed by hand"
        assert "updated" in (await push(settings))[0]
        assert fake.dashboards["fivenines-region-now"]["dashboard"]["title"] == "Region now"


async def test_a_wrong_token_names_the_file_to_mend(tmp_path: Path) -> None:
    """And the token itself is in no message."""
    async with grafana() as fake:
        with pytest.raises(pusher.GrafanaRefused, match=r"grafana\.token_file") as refusal:
            await push(config(fake, tmp_path, token="glsa_wrong"))
        assert "glsa_wrong" not in str(refusal.value)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, pusher.GrafanaRefused), (400, pusher.GrafanaRefused), (412, pusher.GrafanaRefused), (503, pusher.GrafanaUnreachable)]
)  # fmt: skip
async def test_every_no_is_a_typed_error(tmp_path: Path, status: int, kind: type[Exception]) -> None:
    """A refusal and an outage are told apart."""
    async with grafana() as fake:
        fake.fail = status
        with pytest.raises(kind):
            await push(config(fake, tmp_path))


async def test_a_hanging_grafana_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The push ends within its patience."""
    monkeypatch.setattr(pusher, "PATIENCE_SECONDS", 0.2)
    async with grafana() as fake:
        fake.hang = True
        with pytest.raises(pusher.GrafanaUnreachable, match="cannot be reached"):
            await push(config(fake, tmp_path))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://127.0.0.1", "127.0.0.1:3000"])
def test_a_wrong_address_is_said(url: str) -> None:
    """Nothing listens, or it is no address at all."""
    with pytest.raises(pusher.GrafanaError, match=r"grafana\.url"):
        pusher.push(GrafanaConfig(url=url))


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_an_unreadable_or_empty_token_is_said(tmp_path: Path, text: str | None) -> None:
    """Before anything is asked of Grafana."""
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)
    with pytest.raises(pusher.TokenMissing, match=r"grafana\.token_file"):
        pusher.push(GrafanaConfig(token_file=path))
