"""The probes tell the truth."""

import asyncio

import pytest

from order_worker.health import Health
from order_worker.settings import Address


async def get(path: str, problem: str | None = None) -> str:
    """The status line and body of the answer."""

    async def find() -> str | None:
        return problem

    server = await Health(find).serve(Address("127.0.0.1", 0))
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    return answer


async def test_a_turning_loop_is_alive_even_with_a_problem() -> None:
    assert (await get("/livez", "not polling")).startswith("HTTP/1.1 200 ")


async def test_a_worker_without_problems_is_ready() -> None:
    assert (await get("/readyz")).startswith("HTTP/1.1 200 ")


async def test_a_worker_with_a_problem_is_not_ready_and_says_why() -> None:
    answer = await get("/readyz", "not polling Temporal")
    assert answer.startswith("HTTP/1.1 503 ")
    assert answer.endswith("not polling Temporal\n")


@pytest.mark.parametrize("path", ["/", "/readyzz", "/metrics"])
async def test_other_paths_are_not_found(path: str) -> None:
    assert (await get(path)).startswith("HTTP/1.1 404 ")
