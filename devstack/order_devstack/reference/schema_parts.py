"""Parts of the charts' schema that several values share, by the name after `is:` in values.yaml."""

from typing import Any

_NAME = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
_ANY: dict[str, Any] = {}


def _strict(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**made, "required": list(required)} if required else made


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_STRING = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _STRING}
_QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
_SELECTOR = _strict({"matchLabels": {"type": ["object", "null"]}, "matchExpressions": {"type": "array"}})
_DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}
_SECONDS = {"type": "integer", "minimum": 1}
_NUMBER_OR_PERCENT = {"type": ["integer", "string", "null"], "minimum": 0, "pattern": "^[0-9]+%$"}

PARTS: dict[str, dict[str, Any]] = {
    "anything": _ANY,
    "texts": _TEXTS,
    "name": {"type": "string", "pattern": _NAME, "maxLength": 63},
    "names": {"type": "array", "uniqueItems": True, "items": {"type": "string", "pattern": _NAME, "maxLength": 63}},
    "list of texts": {"type": "array", "uniqueItems": True, "items": {"type": "string", "minLength": 1}},
    "hosts": {"type": "array", "uniqueItems": True, "items": {"type": "string", "pattern": "^[A-Za-z0-9.-]+$"}},
    "name or nothing": {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"},
    "port": {"type": "integer", "minimum": 1024, "maximum": 65535},
    "ports": _list({"type": "integer", "minimum": 1, "maximum": 65535}),
    "schedule": {"type": "string", "pattern": r"^(@[a-z]+|\S+( +\S+){4})$"},
    "schedule or nothing": {"type": "string", "pattern": r"^(|@[a-z]+|\S+( +\S+){4})$"},
    "count": {"type": "integer", "minimum": 0},
    "count or nobody's": {"type": ["integer", "null"], "minimum": 0},
    "number or percent": _NUMBER_OR_PERCENT,
    "resources": {
        **_strict({"requests": _QUANTITIES, "limits": _QUANTITIES, "claims": {"type": "array"}}),
        "type": ["object", "null"],
    },
    "env": _list(
        _strict(
            {
                "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "value": _STRING,
                "valueFrom": {"type": "object"},
            },
            "name",
        )
    ),
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "pull policy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "pull secrets": _list(_strict({"name": _STRING}, "name")),
    "pull secrets of all": _list({**_strict({"name": _STRING}, "name"), "type": ["object", "string"]}),
    "tolerations": _list(
        _strict(
            {
                "key": _STRING,
                "operator": {"enum": ["Exists", "Equal", "Lt", "Gt"]},
                "value": _STRING,
                "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
                "tolerationSeconds": {"type": "integer"},
            }
        )
    ),
    "affinity": _strict({key: {"type": "object"} for key in ("nodeAffinity", "podAffinity", "podAntiAffinity")}),
    "spread": {
        "type": ["array", "null"],
        "items": _strict(
            {
                "maxSkew": {"type": "integer", "minimum": 1},
                "minDomains": {"type": "integer", "minimum": 1},
                "topologyKey": _STRING,
                "whenUnsatisfiable": {"enum": ["DoNotSchedule", "ScheduleAnyway"]},
                "labelSelector": _SELECTOR,
                "matchLabelKeys": _list(_STRING),
                "nodeAffinityPolicy": {"enum": ["Honor", "Ignore"]},
                "nodeTaintsPolicy": {"enum": ["Honor", "Ignore"]},
            },
            "maxSkew",
            "topologyKey",
            "whenUnsatisfiable",
        ),
    },
    "probe": _strict(
        {
            "initialDelaySeconds": {"type": "integer", "minimum": 0},
            "periodSeconds": _SECONDS,
            "timeoutSeconds": _SECONDS,
            "successThreshold": _SECONDS,
            "failureThreshold": _SECONDS,
        }
    ),
    "volumes": _list({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}),
    "volume mounts": _list(
        {
            "type": "object",
            "required": ["name", "mountPath"],
            "properties": {"name": _STRING, "mountPath": {"type": "string", "pattern": "^/"}},
        }
    ),
    "containers": _list({"type": "object", "required": ["name", "image"], "properties": {"name": _STRING}}),
    "objects": _list({"type": ["object", "string"]}),
    "peers": _list(_strict({"ipBlock": {"type": "object"}, "namespaceSelector": _SELECTOR, "podSelector": _SELECTOR})),
    "egress rules": _list(_strict({"to": {"type": "array"}, "ports": {"type": "array"}})),
    "metrics": _list({"type": "object", "required": ["type"]}),
    "triggers": _list({"type": "object", "required": ["type", "metadata"]}),
    "selector": _SELECTOR,
    "alert": _strict({"enabled": {"type": "boolean"}}),
    "alert with threshold": _strict({"enabled": {"type": "boolean"}, "threshold": {"type": "number", "minimum": 0}}),
    "duration": _DURATION,
    "rollout steps": _list(
        _strict(
            {"rampPercentage": {"type": "integer", "minimum": 1, "maximum": 99}, "pauseDuration": _DURATION},
            "rampPercentage",
            "pauseDuration",
        )
    ),
}
