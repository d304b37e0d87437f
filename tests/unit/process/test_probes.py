"""The probes tell the truth."""

import asyncio
import socket

import aiohttp
import pytest

from order_process import probes as module
from order_process.probes import probes, serving
from order_process.settings import Address, SettingsError


async def get(path: str, *, alive: str | None = None, ready: str | None = None) -> tuple[int, str]:
    """The status and body of the answer of a program with these problems."""

    async def find_alive() -> str | None:
        return alive

    async def find_ready() -> str | None:
        return ready

    pages = probes(alive=find_alive, ready=find_ready)
    async with (
        serving(Address("127.0.0.1", 0), pages, variable="PROBES") as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.text()


@pytest.mark.parametrize("path", ["/livez", "/healthz"])
async def test_a_program_that_works_is_alive_although_it_is_not_ready(path: str) -> None:
    assert await get(path, ready="not polling") == (200, "ok\n")


@pytest.mark.parametrize("path", ["/livez", "/healthz"])
async def test_a_program_that_needs_a_restart_says_why(path: str) -> None:
    assert await get(path, alive="the event loop is stuck") == (503, "the event loop is stuck\n")


async def test_a_program_without_problems_is_ready() -> None:
    assert await get("/readyz") == (200, "ok\n")


async def test_a_program_with_a_problem_is_not_ready_and_says_why() -> None:
    assert await get("/readyz", ready="not polling Temporal") == (503, "not polling Temporal\n")


async def test_a_problem_that_is_not_found_in_time_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)

    async def for_ever() -> str | None:
        await asyncio.Event().wait()
        return None

    pages = probes(alive=for_ever, ready=for_ever)

    assert (await pages["/readyz"]()).text == "no answer in time\n"


@pytest.mark.parametrize("path", ["/", "/readyzz", "/metrics"])
async def test_other_paths_are_not_found(path: str) -> None:
    assert (await get(path))[0] == 404


async def test_no_address_switches_the_probes_off() -> None:
    async with serving(None, {}, variable="PROBES") as port:
        assert port is None


async def test_a_taken_port_is_told_by_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(SettingsError, match=rf"^PROBES is '{address}': "):
            async with serving(address, {}, variable="PROBES"):
                pass
