"""Money is an integer number of minor units and an ISO 4217 code; nothing here ever sees a float."""

from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from order_domain.judgement import Judged

_TWO_DIGITS = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP
CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK
NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB
TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW
""".split()
_NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split()
_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND".split()

MINOR_DIGITS: MappingProxyType[str, int] = MappingProxyType(
    dict.fromkeys(_TWO_DIGITS, 2) | dict.fromkeys(_NO_DIGITS, 0) | dict.fromkeys(_THREE_DIGITS, 3)
)
"""Digits after the decimal point of each accepted currency. Source: ISO 4217 list one, active codes."""

_COUNTED_IN = {**dict.fromkeys(_THREE_DIGITS, 10), "MGA": 100}


def counted_in(currency: str) -> int:
    """The amount, in minor units, whose multiples every payment company can count: some take no single fils and no
    part of an ariary. Source: docs.stripe.com/currencies."""
    return _COUNTED_IN.get(currency, 1)


MAX_MINOR = 2**53 - 1
"""Largest amount, in minor units: beyond it a JSON reader that uses doubles would round."""


def _known(code: str) -> str:
    if code not in MINOR_DIGITS:
        raise ValueError(f"unknown currency {code!r}: use an ISO 4217 code such as USD")
    return code


Currency = Annotated[
    str,
    Judged(AfterValidator(_known)),
    WithJsonSchema({"type": "string", "enum": sorted(MINOR_DIGITS)}),
]
"""An ISO 4217 code from `MINOR_DIGITS`."""


def format_amount(minor: int, currency: str) -> str:
    """`(75000, "USD")` -> `750.00 USD`; the digits are the currency's own (`100 JPY`, `1.500 KWD`). Of a currency
    that is none of `MINOR_DIGITS` the digits are unknown: `75000 minor units of XYZ`."""
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        return f"{minor} minor units of {currency}"
    sign = "-" if minor < 0 else ""
    whole, rest = divmod(abs(minor), 10**digits)
    fraction = f".{rest:0{digits}d}" if digits else ""
    return f"{sign}{whole}{fraction} {currency}"
