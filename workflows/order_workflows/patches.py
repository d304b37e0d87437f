"""Names of changes that runs of earlier releases do not have in their histories."""

LEDGER_DECIDES = "ledger-decides"
"""An order that ends other than Completed is halted in the ledger, and what the ledger lists is undone. Before, a run
undid what it remembered, which is wrong after a reset or a lost workflow task."""

ASKS_BEFORE_A_REFUSED_END = "asks-before-a-refused-end"
"""Where a worker of an earlier release undid an order from memory and the ledger refuses that end, the ledger is asked
what is left to undo. Before, the order ended all the same, and its units stayed held."""

TELLS_REQUESTS = "tells-requests"
"""The snapshot tells what the resource asked for last where a client of the workflow has changed lines or suspension
since. Before, the operator took each such change back."""

WAITS_FOR_KEYS = "waits-for-keys"
"""What a worker cannot read for want of a key is tried again without an end. Before, the class's bound of attempts
counted for it, and the order failed."""

WAITS_FOR_SHIPMENTS = "waits-for-shipments"
"""The shipment of a line that a run before a reset has under way is waited for. Before, it counted as a failure, and
the order was undone."""

ASKS_FOR_EACH_COUNTRY = "asks-for-each-country"
"""No parcel goes to a country that the fraud check was not asked about: it is asked again where the address changed
while it was being asked, and past the pivot. Before, both went unchecked."""

ASKS_AFTER_A_TAKEOVER = "asks-after-a-takeover"
"""A run that takes over asks the fraud check before the parcels leave: the run before knew for which country it had
asked. Before, any country that had come since went unchecked."""

OVERTAKES_LINES = "overtakes-lines"
"""Of many changes of lines that wait, the oldest give way. Before, ten of them kept every other Update from the order,
a cancellation too, until the step under way was over."""

PUTS_ADDRESSES_BACK = "puts-addresses-back"
"""Where a parcel was asked for before with another address, by a run before a reset, the address can be put back.
Before, it was taken for shipped with the present one, and no attempt could succeed."""

FOLLOWS_RESTORES = "follows-restores"
"""Settings of an article that was restored from a backup take the place of those that they name. Before, they were
ignored, as older ones."""

FORGETS_COMPENSATION = "forgets-compensation"
"""An order that goes on past its pivot, after its undoing was held up, is not being undone any more. Before, it took no
other address."""

KEEPS_PACKED = "keeps-packed"
"""Past the pivot a shipment that failed keeps what it has packed, since it is asked for again. Before, it was taken
apart, and could not be packed again."""

TELLS_RELEASE = "tells-release"
"""The snapshot of an article tells that its workflow lets it go. Before, it looked kept until that had ended."""
CANCELLED_FROM_THE_START = "cancelled-from-the-start"
"""An order whose spec had a cancellation before it began ends before its first step. Before, it began, and an Update
had to overtake its charge. Only such orders have the marker."""

SHOWS_REFUSALS = "shows-refusals"
"""A Signal that came in vain is shown in the snapshot. Before, it was only logged."""

COUNTS_SIGNALLED_EDITS = "counts-signalled-edits"
"""Edits by Signal count as those by Update do, and a history that has grown long takes none. Before, Signals could fill
the history until Temporal ended the run."""

SHOWS_FEW_REFUSALS = "shows-few-refusals"
"""Of Signals that came in vain only the first hundred are shown. Before, each one added a timer and a memo to the
history."""
REPEATS_LINES = "repeats-lines"
"""A change of lines that a run before a reset had made, and that others followed, is made again. Before, it was
refused, and the order went on with the lines that it had begun with."""

HEARS_CANCELLATIONS = "hears-cancellations"
"""An order that is cancelled while an activity is under way waits for nobody once that has failed, and does not try it
again. Before, it waited for a person or a key, and could charge the customer after that."""

FOLLOWS_EARLY_DECISIONS = "follows-early-decisions"
"""An order that is rejected before it asks for a decision ends at once, and an approval is shown where the order waits.
Before, it was followed in the step Approval alone, and an order could expire for want of stock before."""

REPEATS_WHAT_WAS_LOST = "repeats-what-was-lost"
"""Where the ledger refuses an end, what it may have lost is asked for once more before the end is. Before, only the end
was, and an order whose last answers a restored ledger did not have waited for a person for good."""
