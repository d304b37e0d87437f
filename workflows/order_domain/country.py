"""Countries of addresses, by their ISO 3166-1 alpha-2 codes."""

COUNTRIES = frozenset(
    """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
""".split()
)
"""Source: ISO 3166-1, the 249 officially assigned codes, as of pycountry 26.2.16 (Debian's iso-codes). The last change
was SS, in 2011."""

MISTAKEN = {"UK": "GB", "EL": "GR"}
"""Codes that people write for others: ISO reserves UK for the United Kingdom, and the European Union writes EL for
Greece."""

UNKNOWN_COUNTRY = "must be an ISO 3166-1 alpha-2 code, two capital letters such as US"


def country(code: str) -> str:
    """The same code. Raises ValueError, which names the right one where it is known."""
    if code in MISTAKEN:
        raise ValueError(is_meant(code))
    if code not in COUNTRIES:
        raise ValueError(UNKNOWN_COUNTRY)
    return code


def is_meant(code: str) -> str:
    """What to write instead of a mistaken code."""
    return f"{code} is no ISO 3166-1 code: {MISTAKEN[code]} is meant"
