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

DEFAULT_CLASS_ANNOTATION = f"{GROUP}/is-default-class"
FIELD_MANAGER = "order-operator"
