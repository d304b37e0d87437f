"""A resource as the watch delivers it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ValidationError

from order_domain.judgement import field_errors, judge
from order_operator.cluster.api_names import RESTORED_LABELS

M = TypeVar("M", bound=BaseModel)


class InvalidSpec(Exception):
    """The spec breaks the schema, which can only happen where admission did not check it; names the field."""


@dataclass(frozen=True)
class Resource:
    """One version of an object; `spec` and `status` are the raw objects of the API."""

    plural: ClassVar[str]
    kind: ClassVar[str]

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created: datetime
    deleting: bool
    finalizers: tuple[str, ...]
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    restored: bool = False
    """Whether a label says that a backup brought the object back."""

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """`body`: the object as JSON."""
        metadata = body["metadata"]
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 1),
            resource_version=metadata["resourceVersion"],
            created=datetime.fromisoformat(metadata["creationTimestamp"]),
            deleting="deletionTimestamp" in metadata,
            finalizers=tuple(metadata.get("finalizers") or ()),
            spec=dict(body.get("spec") or {}),
            status=dict(body.get("status") or {}),
            restored=not RESTORED_LABELS.isdisjoint(metadata.get("labels") or ()),
        )

    def other_namespace(self, temporal_namespace: str) -> str | None:
        """The namespace of Temporal in which the status shows the workflow, where that is not the operator's."""
        shown = str((self.status.get("workflow") or {}).get("namespace") or temporal_namespace)
        return shown if shown != temporal_namespace else None

    @property
    def version(self) -> int:
        """The resourceVersion, by which two versions of an object compare."""
        return int(self.resource_version)

    @property
    def reference(self) -> str:
        """`namespace/name`, for log lines."""
        return f"{self.namespace}/{self.name}"

    def _parse(self, model: type[M]) -> M:
        try:
            return judge(model, self.spec)
        except ValidationError as invalid:
            raise InvalidSpec("; ".join(field_errors(invalid, under="spec"))[:1024]) from invalid

    def with_version(self, body: Mapping[str, Any]) -> Self:
        """This resource as the API server answered after one of our own writes."""
        metadata = body["metadata"]
        return replace(
            self,
            resource_version=metadata["resourceVersion"],
            finalizers=tuple(metadata.get("finalizers") or ()),
            status=dict(body.get("status") or {}),
        )
