"""Temporal's own page shows what is encrypted to whose browser reaches the codec server, and to nobody else."""

from base64 import b64encode
from collections.abc import Iterator

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect
from shop_floor import an_order

from order_devstack import encryption
from order_devstack.stack import Stack

pytestmark = pytest.mark.browser

MAIL = "planted.person@example.com"
ENCRYPTED = b64encode(b"binary/encrypted").decode()
"""The page shows metadata as it comes."""


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What `make up ENCRYPTION=true` starts."""
    stack = Stack(tmp_path_factory.mktemp("temporal-page"))
    encryption.switch_on(stack.root)
    try:
        stack.up()
        stack.start(encryption.CODEC_SERVER)
        yield stack
    finally:
        stack.clean()


@pytest.fixture(scope="module")
def address(encrypted: Stack) -> str:
    """Of the page of one order's workflow, as its status names it."""
    order = an_order("seen", 10_000, customer={"id": "CUST-12345", "email": MAIL})
    encrypted.kubectl("apply", "-f", "-", input=yaml.safe_dump(order))
    encrypted.kubectl("wait", "orders.order-platform.dev/seen", "--for=condition=Finished", "--timeout=120s")
    return encrypted.kubectl("get", "orders.order-platform.dev/seen", "-o", "jsonpath={.status.workflow.url}")


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1600, "height": 3000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


def test_the_page_shows_what_the_codec_server_decodes(page: Page, address: str, encrypted: Stack) -> None:
    decode = f"{encrypted.addresses['codec-server']}/decode"

    with page.expect_response(lambda response: response.url.startswith(decode)) as asked:
        page.goto(address)

    assert asked.value.status == 200
    expect(page.locator("body")).to_contain_text(MAIL)


def test_the_page_shows_nothing_of_a_person_without_the_codec_server(
    page: Page, address: str, encrypted: Stack
) -> None:
    page.route(f"{encrypted.addresses['codec-server']}/**", lambda route: route.abort())

    page.goto(address)

    expect(page.locator("body")).to_contain_text(ENCRYPTED)
    expect(page.locator("body")).not_to_contain_text(MAIL)
