"""All claims as a table for a page: plain HTML, with a script that sorts and filters it."""

from collections.abc import Mapping
from html import escape
from importlib import resources

from vgcourse.claims.claim import VERDICTS, Claim, Evidence

SIGNS = dict(zip(VERDICTS, ("✓", "◐", "!", "✗"), strict=True))
"""A sign for every verdict, since not all readers tell colours apart."""


def table(
    chapters: Mapping[str, tuple[Claim, ...]],
    evidence: Mapping[str, Evidence],
    links: Mapping[str, tuple[str, str]],
) -> str:
    """HTML of the table, its style and its script.

    Without the script, and in print, it is the full table in the order of the chapters.

    Args:
        chapters: Claims by chapter.
        evidence: By the claims' ids.
        links: Address and text of the link to where each claim is shown, by id. Without an address
            the text stands alone.
    """
    rows = [
        _row(name, claim, evidence[claim.id], links[claim.id])
        for name, claims in chapters.items()
        for claim in claims
    ]
    folder = resources.files("vgcourse").joinpath("claims")
    style, script = (folder.joinpath(f"table.{kind}").read_text("utf-8") for kind in ("css", "js"))
    heads = "".join(f'<th scope="col">{name}</th>' for name in HEADS)
    return (
        f'<style>{style}</style><div class="vg-claims"><form hidden>'
        f"{_select('chapter', 'Chapter', ['all', *chapters])}"
        f"{_select('verdict', 'Verdict', ['all', *VERDICTS])}"
        f"{_select('sort', 'Sort by', ['chapter', 'number', 'verdict'])}"
        '<button type="reset">Show all</button></form>'
        f'<p role="status">{len(rows)} of {len(rows)} claims</p>'
        f"<table><caption>Claims, verdicts and what was measured</caption><thead><tr>{heads}</tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table></div><script>{script}</script>"
    )


HEADS = ("Claim", "Verdict", "Measured", "Shown in")


def _select(name: str, label: str, options: list[str]) -> str:
    choices = "".join(f"<option>{escape(option)}</option>" for option in options)
    return (
        f'<div><label for="vg-claims-{name}">{label}</label>'
        f'<select id="vg-claims-{name}" name="{name}">{choices}</select></div>'
    )


def _row(chapter: str, claim: Claim, evidence: Evidence, link: tuple[str, str]) -> str:
    sources = ", ".join(claim.sources) or "this course"
    address, text = map(escape, link)
    verdict = f"<strong>{SIGNS[claim.verdict]} {claim.verdict}</strong>"
    cells = (
        f"{escape(claim.text)} <small>{chapter}; said by {sources}</small>",
        f"{verdict} {escape(claim.why)}",
        escape(claim.sentence(evidence)),
        f'<a href="{address}">{text}</a>' if address else text,
    )
    named = zip(HEADS[1:], cells[1:], strict=True)
    return (
        f'<tr id="{claim.id.lower()}" data-chapter="{chapter}" data-verdict="{claim.verdict}">'
        f'<th scope="row"><b>{claim.id}</b> {cells[0]}</th>'
        + "".join(f'<td data-name="{name}">{cell}</td>' for name, cell in named)
        + "</tr>"
    )
