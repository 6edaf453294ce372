"""The Markdown of a page without what only the book understands."""

import base64
import mimetypes
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from posixpath import dirname, join, normpath

from tools.course import TERM, Course, Place, blocks

ROLE = re.compile(r"\{([\w:]+)\}`([^`<]*?)(?:\s*<([^`>]+)>)?`")
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(?:#[^)\s]*)?\)")
DROPDOWN = ":class: dropdown\n"
API = (
    "`help({0}.name)` says what each of them takes and returns; first run `from vgkit import {0}`."
)


@dataclass(frozen=True)
class Writer:
    """Writes one page.

    Attributes:
        course: What the page may refer to.
        page: Its name.
        address: The address of a place, as seen from a page; empty where it has none.
        number: The text of one of the page's numbers, by its name and its format.
    """

    course: Course
    page: str
    address: Callable[[str, Place], str]
    number: Callable[[str, str], str]

    def link(self, place: Place, text: str) -> str:
        """A link, or its words alone where it would lead nowhere."""
        address = self.address(self.page, place)
        return f"[{text}]({address})" if address else text

    def work(self, key: str) -> str:
        """A cited work, with a link to the list of all."""
        work = self.course.works[key.strip()]
        return self.link(work.place, work.short)

    def role(self, match: re.Match) -> str:
        """What a role says."""
        name, text, target = match.groups()
        text = " ".join(text.split())
        target = " ".join(target.split()) if target else text
        match name:
            case "eval":
                return self.number(text.removeprefix("said."), "")
            case "number":
                name, _, form = text.partition(" ")
                return self.number(name, form)
            case "ref":
                place = self.course.labels[target]
                return self.link(place, place.title if target == text else text)
            case "term":
                return self.link(self.course.terms[target.lower()], text)
            case "cite:t":
                return " and ".join(map(self.work, text.split(",")))
            case "cite:p":
                return f"({'; '.join(map(self.work, text.split(',')))})"
        raise ValueError(f"{self.page}: role must be one that tools.markdown knows; got {name!r}")

    def file(self, match: re.Match) -> str:
        """A link to another page, or a picture, which comes into the text."""
        image, text, path = match.groups()
        path = normpath(join(dirname(self.page), path))
        if image:
            data = base64.b64encode((self.course.root / path).read_bytes()).decode()
            return f"![{text}](data:{mimetypes.guess_type(path)[0]};base64,{data})"
        name = path.removesuffix(".md")
        return self.link(self.course.place(name), text)

    def inline(self, text: str) -> str:
        """Running text."""
        text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.MULTILINE)
        return ROLE.sub(self.role, LINK.sub(self.file, text))

    def block(self, name: str, argument: str, body: str) -> str:
        """What a directive says; without a name, running text."""
        match name:
            case "":
                return self.inline(body)
            case "code":
                return body
            case "admonition":
                text = self.text(body.removeprefix(DROPDOWN))
                if body.startswith(DROPDOWN):
                    return folded(argument, text)
                return quoted(f"**{argument}**\n\n{text}")
            case "div":
                return self.text(body)
            case "exercise-start":
                return f"### {self.course.labels[body.removeprefix(':label: ')].title}"
            case "exercise-end" | "launch":  # whoever reads a notebook has launched it
                return ""
            case "glossary":
                terms = TERM.findall(f"{body}\n")
                return "\n".join(
                    f"### {term}\n{self.inline(textwrap.dedent(text))}" for term, text in terms
                )
            case "bibliography":
                return "\n\n".join(f"### {w.short}\n{w.full}" for w in self.course.works.values())
            case "eval-rst":
                return API.format(re.search(r"automodule:: vgkit\.(\S+)", body)[1])
        raise ValueError(
            f"{self.page}: directive must be one that tools.markdown knows; got {name!r}"
        )

    def text(self, text: str) -> str:
        """A page's text, or a part of it."""
        text = "\n".join(self.block(*block) for block in blocks(text))
        return re.sub(r"\n{3,}", "\n\n", text).strip()


def quoted(text: str) -> str:
    """A box; Markdown's nearest to it is a quotation."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def folded(label: str, text: str) -> str:
    """Text that a reader unfolds."""
    return f"<details>\n<summary><b>{label}</b></summary>\n\n{text}\n\n</details>"
