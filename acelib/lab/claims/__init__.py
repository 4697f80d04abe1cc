"""Claims as data: the statements of ``book/claims.toml``, their verdicts, and the cards that show them."""

from .entries import (
    CONDITION,
    EVIDENCE,
    FINDING,
    KINDS,
    NUMBER,
    PAPERS,
    REFUTED,
    ROLES,
    UNTESTED,
    VERDICTS,
    Claim,
    Test,
    claim_from,
    judged,
    read_claims,
)

__all__ = [
    "CONDITION",
    "EVIDENCE",
    "FINDING",
    "KINDS",
    "NUMBER",
    "PAPERS",
    "REFUTED",
    "ROLES",
    "UNTESTED",
    "VERDICTS",
    "Claim",
    "Test",
    "claim_from",
    "judged",
    "read_claims",
]
