"""Two hundred lines, the most that an order may have, shipped in each of the modes by the product's own worker."""

from uuid import uuid4

import pytest
from builders import a_line, an_order_spec
from real_shop import RealShop, shipping_class
from temporalio.api.enums.v1 import EventType
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest

from order_domain.policy import ShippingMode
from order_workflows.timing import MAX_CONCURRENT_SHIPMENTS

LINES = 200
BEGUN = {
    ShippingMode.ACTIVITIES: EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    ShippingMode.CHILD_WORKFLOWS: EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
    ShippingMode.NEXUS: EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED,
}
ENDED = {
    ShippingMode.ACTIVITIES: EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
    ShippingMode.CHILD_WORKFLOWS: EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
    ShippingMode.NEXUS: EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED,
}


async def shipping_policy(real: RealShop, mode: ShippingMode) -> dict[str, object]:
    """All by the one worker of the shop."""
    if mode is not ShippingMode.NEXUS:
        return {"mode": mode, "task_queue": real.task_queue}
    endpoint = f"shipping-{uuid4().hex[:8]}"
    target = EndpointTarget.Worker(namespace=real.client.namespace, task_queue=real.task_queue)
    spec = EndpointSpec(name=endpoint, target=EndpointTarget(worker=target))
    await real.client.operator_service.create_nexus_endpoint(CreateNexusEndpointRequest(spec=spec))
    return {"mode": mode, "endpoint": endpoint}


@pytest.mark.long
@pytest.mark.parametrize("mode", list(ShippingMode))
async def test_an_order_of_two_hundred_lines_completes_with_a_bounded_number_under_way(
    real: RealShop, mode: ShippingMode
) -> None:
    lines = [a_line(line_id=str(number), unit_price_minor=10) for number in range(LINES)]
    policy = shipping_class(shipping=await shipping_policy(real, mode))

    order = await real.place(an_order_spec(lines=lines), policy=policy)
    await order.result()

    await real.carried_out(order, total=10 * LINES, units=LINES, parcels=LINES)
    under_way = most = 0
    for event in await order.events():
        assert event.event_type != EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
        under_way += (event.event_type == BEGUN[mode]) - (event.event_type == ENDED[mode])
        most = max(most, under_way)
    # One more: the charge of this class is an activity as well, but it has ended before.
    assert most == MAX_CONCURRENT_SHIPMENTS
