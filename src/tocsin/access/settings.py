"""What can be set about signing in."""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin.model.duration import DAY_MS, Duration


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """`[auth]`"""

    anonymous_role: str = field(
        default="",
        metadata={
            "doc": "The role of everybody who has not signed in, for a trusted network: `viewer`, `operator`, "
            "`editor`, `admin` or `writer`. Empty: they may do nothing."
        },
    )
    session: Duration = field(
        default=Duration(30 * DAY_MS),
        metadata={
            "doc": "How long a browser stays signed in, counted from the sign-in and not from the last use, so that "
            "a stolen cookie does not live for ever."
        },
    )
    sign_in_link: Duration = field(
        default=Duration(DAY_MS),
        metadata={"doc": "How long the one-time sign-in link of a start works. The next start prints a new one."},
    )
