"""Links between the repository's pages, as the site of the documentation has them."""

import pytest

from order_devstack.docs_site import with_links_of_the_site


@pytest.mark.parametrize(
    ("page", "link", "shown"),
    [
        ("status.md", "[the runbook](runbooks/audit-flaw.md)", "[the runbook](runbooks/audit-flaw.md)"),
        ("runbooks/audit-flaw.md", "[status](../status.md#events)", "[status](../status.md#events)"),
        ("README.md", "[README](../README.md)", "[README](project.md)"),
        ("README.md", "[the chart](../charts/order-platform)", "[the chart](chart.md)"),
        ("decisions/0014.md", "[it](../../ARCHITECTURE.md#always)", "[it](../architecture.md#always)"),
        ("project.md", "[all](docs/decisions)", "[all](decisions/README.md)"),
        ("chart.md", "[values](values.yaml)", "values (`charts/order-platform/values.yaml`)"),
        ("project.md", "[manifests/samples](manifests/samples)", "`manifests/samples`"),
    ],
)  # fmt: skip
def test_a_link_leads_to_a_page_of_the_site_or_names_the_file(page: str, link: str, shown: str) -> None:
    assert with_links_of_the_site(f"See {link}.", page) == f"See {shown}."


@pytest.mark.parametrize("text", ["[gone](../docs/gone.md)", "`[a-z](b)`", "[x](https://example.com/a)", "[y](#below)"])
def test_what_is_no_link_to_a_file_stays_as_it_is(text: str) -> None:
    assert with_links_of_the_site(text, "status.md") == text
