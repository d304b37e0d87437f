"""How the cluster's API spells this product."""

GROUP = "order-platform.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
ORDERS = "orders"
ORDER_KIND = "Order"
ORDER_CLASSES = "orderclasses"
ORDER_CLASS_KIND = "OrderClass"
STOCK_ITEMS = "stockitems"
STOCK_ITEM_KIND = "StockItem"

FINALIZER = f"{GROUP}/compensation"
"""Holds a deleted Order until its workflow has undone what it did."""

DEFAULT_CLASS_LABEL = f"{GROUP}/default-class"
"""Of an OrderClass: "true" makes it the default of the cluster. Of a Namespace: the name of its default class."""
EARLIER_DEFAULT_CLASS_ANNOTATION = f"{GROUP}/is-default-class"
"""What made an OrderClass the default before release 0.2; read for one more release."""
FIELD_MANAGER = "order-operator"

RESTORED_LABELS = frozenset({"velero.io/restore-name", f"{GROUP}/restored"})
"""Either says that a backup brought the object back: Velero's own, and one for other tools."""
