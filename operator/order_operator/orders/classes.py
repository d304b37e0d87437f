"""The OrderClasses of the cluster, and which one an order follows."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from order_domain.judgement import field_errors, judge
from order_domain.order import OrderSpec
from order_domain.policy import OrderClassSpec
from order_operator.cluster.api_names import DEFAULT_CLASS_LABEL, EARLIER_DEFAULT_CLASS_ANNOTATION
from order_operator.cluster.conditions import Reason
from order_operator.problem import Problem

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OrderClass:
    """A valid class."""

    name: str
    generation: int
    spec: OrderClassSpec


class OrderClasses:
    """Fed by the watch; classes are few, so all are kept."""

    def __init__(self) -> None:
        self._valid: dict[str, OrderClass] = {}
        self._invalid: dict[str, str] = {}
        self._versions: dict[str, int] = {}
        """resourceVersion of each, by name."""
        self._defaults: dict[str, str] = {}
        """When those were created that are labelled as default, valid or not, by name."""

    def put(self, body: Mapping[str, Any]) -> None:
        """Take in one version of a class, valid or not."""
        metadata = body["metadata"]
        name = metadata["name"]
        self.remove(name)
        self._versions[name] = _version(body)
        if _is_default(metadata):
            self._defaults[name] = metadata.get("creationTimestamp", "")
        try:
            spec = judge(OrderClassSpec, body.get("spec") or {})
        except ValidationError as invalid:
            self._invalid[name] = "; ".join(field_errors(invalid))
            logger.warning("class %s is invalid: %s", name, self._invalid[name])
            return
        self._valid[name] = OrderClass(
            name=name,
            generation=metadata.get("generation", 1),
            spec=spec,
        )

    def replace(self, bodies: Sequence[Mapping[str, Any]]) -> bool:
        """Take in a list of all classes; whether the watch had brought something else."""
        listed = {body["metadata"]["name"]: body for body in bodies}
        gone = set(self._versions) - set(listed)
        other = {name for name, body in listed.items() if self._versions.get(name) != _version(body)}
        for name in gone:
            self.remove(name)
        for name in other:
            self.put(listed[name])
        return bool(gone or other)

    def remove(self, name: str) -> None:
        """The class is gone."""
        self._valid.pop(name, None)
        self._invalid.pop(name, None)
        self._versions.pop(name, None)
        self._defaults.pop(name, None)

    def version(self, name: str) -> int:
        """The resourceVersion of what is known of the class of this name; 0 if there is none."""
        return self._versions.get(name, 0)

    @property
    def names(self) -> list[str]:
        """Of the valid ones."""
        return sorted(self._valid)

    @property
    def default(self) -> str | None:
        """Name of the class that orders of the cluster follow which name none: of several the newest, as with
        StorageClasses. It may be invalid: no other one takes its place then."""
        return max(self._defaults, key=lambda name: (self._defaults[name], name), default=None)

    def flaw(self, name: str) -> str | None:
        """What is wrong with the class of this name; None if nothing is."""
        return self._invalid.get(name)

    def spec(self, name: str) -> OrderClassSpec | None:
        """What the valid class of this name says now."""
        found = self._valid.get(name)
        return found.spec if found else None

    def resolve(
        self, spec: OrderSpec, namespace_default: str | None = None, begun_by: str | None = None
    ) -> OrderClass | Problem:
        """The class that `spec` names; else the one that the order has begun by; or the default one: that of its
        namespace, or else that of the cluster."""
        name, named_by = spec.class_name, "spec.className"
        if name is None and begun_by is not None:
            name, named_by = begun_by, "status.className"
        if name is None and namespace_default is not None:
            name, named_by = namespace_default, f"label {DEFAULT_CLASS_LABEL} of the namespace"
        if name is None:
            name, named_by = self.default, f"label {DEFAULT_CLASS_LABEL}=true"
        if name is None:
            return Problem(
                Reason.NO_DEFAULT_CLASS,
                f"spec.className is empty and no OrderClass is labelled {DEFAULT_CLASS_LABEL}=true",
                stalled=True,
            )
        if name in self._invalid:
            return Problem(
                Reason.CLASS_INVALID,
                f"{named_by}: OrderClass {name} is invalid: {self._invalid[name]}",
                stalled=True,
            )
        found = self._valid.get(name)
        known = ", ".join(sorted(self._valid)) or "none"
        return found or Problem(
            Reason.CLASS_NOT_FOUND,
            f"{named_by}: there is no OrderClass {name}; create it or use one of: {known}",
            stalled=True,
        )


def _is_default(metadata: Mapping[str, Any]) -> bool:
    annotations = metadata.get("annotations") or {}
    labels = metadata.get("labels") or {}
    return "true" in (labels.get(DEFAULT_CLASS_LABEL), annotations.get(EARLIER_DEFAULT_CLASS_ANNOTATION))


def _version(body: Mapping[str, Any]) -> int:
    """The resourceVersion, by which two versions compare."""
    return int(body["metadata"].get("resourceVersion") or 0)


class Statuses(Protocol):
    """Who writes the statuses of classes."""

    def put(self, body: Mapping[str, Any], /) -> None:
        """One version of a class, which has been judged."""

    def remove(self, name: str, /) -> None:
        """The class is gone."""


class WatchedClasses:
    """Takes in what the watch and the lists bring, and tells of each change.

    The two cross: a list is under way while the watch brings something newer. What is older never replaces it.
    """

    def __init__(self, classes: OrderClasses, changed: Callable[[], None], statuses: Statuses) -> None:
        self._classes = classes
        self._changed = changed
        self._statuses = statuses
        self._newest = 0
        """Greatest resourceVersion that was told of, by the watch or as that of a list."""

    def put(self, body: Mapping[str, Any]) -> None:
        """One version of a class."""
        if self._is_old(body):
            return
        self._classes.put(body)
        self._statuses.put(body)
        self._changed()

    def remove(self, body: Mapping[str, Any]) -> None:
        """The last version of a class that is gone."""
        if self._is_old(body):
            return
        name = body["metadata"]["name"]
        self._classes.remove(name)
        self._statuses.remove(name)
        self._changed()

    def _is_old(self, body: Mapping[str, Any]) -> bool:
        """Whether something newer is known of the class."""
        version = _version(body)
        self._newest = max(self._newest, version)
        return version < self._classes.version(body["metadata"]["name"])

    def listed(self, bodies: Sequence[Mapping[str, Any]], version: int) -> None:
        """All classes as of resourceVersion `version`, independently of the watch."""
        if version < self._newest:
            return  # the watch has been quicker, and the next list comes in a minute
        self._newest = version
        if self._classes.replace(bodies):
            logger.warning("the watch missed a change of the classes")
            self._changed()
        for body in bodies:
            self._statuses.put(body)
