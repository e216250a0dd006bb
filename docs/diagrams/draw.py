"""The diagrams of the documentation: ``python docs/diagrams/draw.py`` draws them beside this file.

They are kept as drawn, so that the pages can be read without building them; a test compares them
with what this file says. Boxes stand where they are put, arrows find their ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

LINE = 17  # pixels from one line of text to the next
CHARACTER = 7.0  # the usual width of one
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2933; text-anchor: middle; }
text.label { font-size: 12px; fill: #3e4c59; paint-order: stroke; stroke: #fff; stroke-width: 5px; }
text.left { text-anchor: start; }
rect.box { fill: #e8f1fb; stroke: #2b6cb0; stroke-width: 1.3; }
rect.stop { fill: #fdecea; stroke: #c0392b; }
rect.calm { fill: #f2f4f6; stroke: #7b8794; }
path, line { fill: none; stroke: #52606d; stroke-width: 1.4; }
line.lane { stroke: #cbd2d9; }
path.dashed, line.dashed { stroke-dasharray: 5 4; }
"""


@dataclass(frozen=True)
class Box:
    """A state or a step: its text (lines apart by ``|``), its centre in pixels, its colour."""

    text: str
    x: float
    y: float
    kind: str = "box"  # or "stop", "calm"

    @property
    def lines(self) -> list[str]:
        """Its lines of text."""
        return self.text.split("|")

    @property
    def half(self) -> tuple[float, float]:
        """Half its width and half its height."""
        return max(map(len, self.lines)) * CHARACTER / 2 + 12, len(self.lines) * LINE / 2 + 9

    def edge(self, x: float, y: float) -> tuple[float, float]:
        """Where the line from its centre to that point leaves it."""
        across, down = x - self.x, y - self.y
        width, height = self.half
        scale = min(
            width / abs(across) if across else float("inf"),
            height / abs(down) if down else float("inf"),
        )
        return self.x + across * scale, self.y + down * scale


@dataclass(frozen=True)
class Arrow:
    """From one box to another: what it means, and how far it bends aside, in pixels."""

    start: str
    end: str
    text: str = ""
    bend: float = 0
    dashed: bool = False


def _text(lines: list[str], x: float, y: float, kind: str = "") -> str:
    top = y - (len(lines) - 1) * LINE / 2 + 4.5
    return "".join(
        f'<text class="{kind}" x="{x:.1f}" y="{top + number * LINE:.1f}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )


def _box(box: Box) -> str:
    width, height = box.half
    return (
        f'<rect class="box {box.kind}" rx="6" x="{box.x - width:.1f}" y="{box.y - height:.1f}" '
        f'width="{2 * width:.1f}" height="{2 * height:.1f}"/>' + _text(box.lines, box.x, box.y)
    )


def _loop(box: Box, arrow: Arrow) -> str:
    """An arrow from a box to itself, at its right (bend > 0) or left side."""
    side = 1 if arrow.bend > 0 else -1
    x, y = box.x + side * box.half[0], box.y
    far = x + 1.3 * arrow.bend
    lines = arrow.text.split("|")
    middle = x + arrow.bend + side * (max(map(len, lines)) * CHARACTER * 0.46 + 8)
    return (
        f'<path marker-end="url(#head)" d="M{x:.1f},{y - 9:.1f} C{far:.1f},{y - 26:.1f} '
        f'{far:.1f},{y + 26:.1f} {x + side * 2:.1f},{y + 9:.1f}"/>'
        + _text(lines, middle, y, "label")
    )


def _arrow(arrow: Arrow, boxes: dict[str, Box]) -> str:
    start, end = boxes[arrow.start], boxes[arrow.end]
    if start is end:
        return _loop(start, arrow)
    across, down = end.x - start.x, end.y - start.y
    length = (across**2 + down**2) ** 0.5
    aside = -down / length * arrow.bend * 2, across / length * arrow.bend * 2
    control = (start.x + end.x) / 2 + aside[0], (start.y + end.y) / 2 + aside[1]
    first, last = start.edge(*control), end.edge(*control)
    middle = [(first[i] + 2 * control[i] + last[i]) / 4 for i in (0, 1)]
    kind = ' class="dashed"' if arrow.dashed else ""
    return (
        f'<path{kind} marker-end="url(#head)" d="M{first[0]:.1f},{first[1]:.1f} '
        f'Q{control[0]:.1f},{control[1]:.1f} {last[0]:.1f},{last[1]:.1f}"/>'
        + (_text(arrow.text.split("|"), middle[0], middle[1], "label") if arrow.text else "")
    )


def _picture(width: float, height: float, title: str, body: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" '
            'markerHeight="8" orient="auto"><path d="M0,1 L9,5 L0,9 z" '
            'style="fill: #52606d; stroke: none"/></marker></defs>',
            f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#fff"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def graph(title: str, size: tuple[float, float], boxes: dict[str, Box], arrows: list[Arrow]) -> str:
    """Boxes with arrows between them."""
    body = [_arrow(arrow, boxes) for arrow in arrows] + [_box(box) for box in boxes.values()]
    return _picture(*size, title, body)


def lanes(title: str, names: list[str], steps: list[tuple[int, int, str]]) -> str:
    """What threads do, one after the other, from top to bottom.

    A step is (lane, lane, text): an arrow from one lane to the other, or, if they are the same,
    something that the thread does for itself.
    """
    width, top, row = 310, 30, 44
    height = top + row * (len(steps) + 1)
    places = [width * number + width / 2 for number in range(len(names))]
    body = [f'<line class="lane" x1="{x}" y1="{top}" x2="{x}" y2="{height - 16}"/>' for x in places]
    body += [_box(Box(name, x, top, "calm")) for name, x in zip(names, places, strict=True)]
    for number, (start, end, text) in enumerate(steps):
        y = top + row * (number + 1) + 6
        if start == end:
            body.append(_box(Box(text, places[start], y)))
            continue
        gap = 4 if start < end else -4
        body.append(
            f'<line marker-end="url(#head)" x1="{places[start] + gap}" y1="{y}" '
            f'x2="{places[end] - gap}" y2="{y}"/>'
        )
        middle = (places[start] + places[end]) / 2
        body.append(_text([text], middle, y - 11, "label"))
    return _picture(width * len(names), height, title, body)


def request() -> str:
    """The life of a request."""
    return graph(
        "The life of a request",
        (760, 330),
        {
            "none": Box("not asked|the flag is down", 100, 165, "calm"),
            "pending": Box("pending|the flag is up", 450, 60),
            "delivered": Box("delivered|the flag stays up", 450, 270, "stop"),
        },
        [
            Arrow("none", "pending", "interrupt(): True", -28),
            Arrow("pending", "pending", "interrupt(): False|the first one stays", 42),
            Arrow("pending", "delivered", "check_interrupt() raises,|a region raises", -62),
            Arrow("delivered", "pending", "interrupt(): True", -50),
            Arrow("delivered", "delivered", "looking, entering a|region: raises again", 42),
            Arrow("pending", "none", "clear_interrupt()", -22),
            Arrow("delivered", "none", "clear_interrupt()", 28),
        ],
    )


def region() -> str:
    """What a region's thread is, and by what it changes."""
    return graph(
        "The states of a thread and its regions",
        (860, 380),
        {
            "outside": Box(
                "outside|nothing is raised here|but by check_interrupt()", 140, 190, "calm"
            ),
            "open": Box("open|a request is raised at the|first moment that will do", 470, 70),
            "shielded": Box("shielded|nothing is raised", 720, 190, "calm"),
            "spent": Box("has delivered|cleanup is left alone", 470, 320, "stop"),
        },
        [
            Arrow("outside", "open", "enter a region,|not asked", -25),
            Arrow("open", "outside", "leave the outermost|(never raises)", -25),
            Arrow("open", "shielded", "enter a shield", -25),
            Arrow("shielded", "open", "leave the outermost:|raises if asked", -25),
            Arrow("open", "spent", "ThreadExit|is raised", 30),
            Arrow("spent", "open", "interrupt()|again", 30),
            Arrow("spent", "outside", "leave the outermost", 25),
        ],
    )


def parking() -> str:
    """How a thread waits for a lock, and is woken."""
    return lanes(
        "Parking and waking",
        ["a thread in a region", "the thread that has the lock", "whoever interrupts"],
        [
            (0, 0, "tries the lock: it is taken"),
            (0, 0, "queues in the lot (no GIL: tries again)"),
            (0, 0, "is it asked? No: sleeps"),
            (1, 1, "release(): does anybody wait?"),
            (1, 0, "wakes the first in the queue"),
            (0, 0, "tries again; has it, or queues again"),
            (2, 2, "or: interrupt() puts the flag up"),
            (2, 0, "wakes this very thread"),
            (0, 0, "tries again; if it has it, returns it"),
            (0, 0, "else, if woken too, wakes the next"),
            (0, 0, "raises ThreadExit, without the lock"),
        ],
    )


def delivery() -> str:
    """From a request to the exception, in a thread that runs."""
    return graph(
        "Delivery between statements",
        (760, 500),
        {
            "ask": Box("interrupt(thread)", 300, 35),
            "record": Box("the request is put into the thread's record", 300, 105),
            "open": Box("is the thread open?", 300, 180, "calm"),
            "wait": Box(
                "it waits until the thread|looks, enters a region,|or leaves a shield", 620, 180
            ),
            "arm": Box(
                "arm: events on the code of the region's frames|(3.11: a trace function)", 300, 270
            ),
            "ask9": Box(
                "in the thread, between two statements:|does a condition of S9 forbid it?",
                300,
                360,
                "calm",
            ),
            "raise": Box("raise, disarm", 300, 455, "stop"),
            "second": Box(
                "re-arm timer, 1, 2, 4 ... 64 ms|later: arm what runs now", 630, 360, "calm"
            ),
        },
        [
            Arrow("ask", "record"),
            Arrow("record", "open"),
            Arrow("open", "wait", "no"),
            Arrow("open", "arm", "yes"),
            Arrow("arm", "ask9"),
            Arrow("ask9", "ask9", "yes: the|next event", -30),
            Arrow("ask9", "raise", "no"),
            Arrow("arm", "second", "while it waits", dashed=True),
            Arrow("second", "ask9", dashed=True),
        ],
    )


DIAGRAMS = {"request": request, "region": region, "parking": parking, "delivery": delivery}

if __name__ == "__main__":
    for name, draw in DIAGRAMS.items():
        Path(__file__).with_name(f"{name}.svg").write_text(draw(), encoding="utf-8")
