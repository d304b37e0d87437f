import pytest

from order_operator.cluster.api_names import DEFAULT_CLASS_LABEL
from order_operator.orders import namespace_defaults
from order_operator.orders.namespace_defaults import NamespaceDefaults


class Labels:
    def __init__(self) -> None:
        self.labels = {DEFAULT_CLASS_LABEL: "threshold", "team": "blue"}
        self.asked = 0

    async def namespace_labels(self, name: str) -> dict[str, str]:
        assert name == "shop"
        self.asked += 1
        return self.labels


async def test_the_label_of_a_namespace_names_its_default_class() -> None:
    defaults = NamespaceDefaults(Labels())

    await defaults.learn("shop")

    assert defaults.of("shop") == "threshold"
    assert defaults.of("elsewhere") is None


async def test_a_young_answer_is_not_asked_for_again() -> None:
    labels = Labels()
    defaults = NamespaceDefaults(labels)

    for _ in range(3):
        await defaults.learn("shop")

    assert labels.asked == 1


async def test_a_label_that_is_taken_off_does_not_count_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_defaults, "MAX_AGE_SECONDS", 0.0)
    labels = Labels()
    defaults = NamespaceDefaults(labels)
    await defaults.learn("shop")

    labels.labels = {}
    await defaults.learn("shop")

    assert defaults.of("shop") is None
