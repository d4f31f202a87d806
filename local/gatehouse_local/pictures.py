"""The pictures of the READMEs, drawn from the templates: `make pictures`.

`suite` shows who asks, which functions answer, and what they guard.
"""

from html import escape
from pathlib import Path

from gatehouse_local import ROOT
from gatehouse_local.functions import capabilities, functions

# What comes before and after the functions of a capability; the functions themselves are those of its template.
AROUND = {
    "amis": ("EC2 Image Builder made an image", "images leave once a person approved"),
    "iam-alerts": ("somebody changes IAM", "people hear of it by mail"),
    "ip-ranges": ("AWS publishes new IP ranges", "security groups, prefix lists, IP sets"),
    "messages": ("a message with sensitive data", "each subscriber reads what it may"),
    "pipelines": ("CodePipeline wants to deploy", "stages wait until an issue is over"),
}

INK, SOFT, LINE, PAPER, BOX, ACCENT = "#1b2733", "#5b6b7a", "#9fb0c0", "#ffffff", "#f2f6fa", "#1f6f8b"


def text(x: float, y: float, said: str, size: int = 13, fill: str = INK, **more: str) -> str:
    """A line of text; `anchor` and `weight` as SVG has them."""
    names = {"anchor": "text-anchor", "weight": "font-weight"}
    extra = "".join(f' {names[name]}="{value}"' for name, value in more.items())
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}"{extra}>{escape(said)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str, stroke: str = LINE) -> str:
    """A rectangle with round corners."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" stroke="{stroke}"/>'


def picture(width: int, height: int, title: str, parts: list[str]) -> str:
    """An SVG file. It has a background of its own, so that it can be read on a dark page, too."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" role="img" aria-label="{escape(title)}">'
    )
    return (
        "\n".join(
            [head, f"<title>{escape(title)}</title>", box(0.5, 0.5, width - 1, height - 1, PAPER), *parts, "</svg>"]
        )
        + "\n"
    )


def arrow(x: float, y: float, to: float) -> str:
    """From the left to the right."""
    return f'<path d="M{x:g} {y:g}H{to - 1:g}m-6 -4l6 4l-6 4" fill="none" stroke="{ACCENT}" stroke-width="1.5"/>'


def suite(root: Path = ROOT) -> str:
    """The capabilities, one a row."""
    parts = [
        text(20, 28, "what happens", 12, SOFT),
        text(302, 28, "the gate: functions of a capability", 12, SOFT),
        text(592, 28, "what it guards", 12, SOFT),
    ]
    y = 42.0
    for capability in capabilities(root):
        if capability not in AROUND:
            raise KeyError(f"pictures.py does not say what comes before and after {capability}: add it to AROUND")
        before, after = AROUND[capability]
        binaries = list(
            dict.fromkeys(function.binary for function in functions(root) if function.capability == capability)
        )
        height = 30.0 + 17 * len(binaries)
        middle = y + height / 2
        parts += [text(20, middle + 4, before), arrow(262, middle, 288)]
        parts += [box(290, y, 250, height, BOX), text(302, y + 20, capability, 14, ACCENT, weight="600")]
        parts += [text(314, y + 38 + 17 * row, binary) for row, binary in enumerate(binaries)]
        parts += [arrow(542, middle, 580), text(592, middle + 4, after)]
        y += height + 10
    return picture(900, int(y) + 8, "Gatehouse: what happens, which functions answer, and what they guard", parts)


def pictures(root: Path = ROOT) -> dict[Path, str]:
    """Each file and what it shows."""
    return {root / "docs/suite.svg": suite(root)}


if __name__ == "__main__":
    for path, drawn in pictures().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(drawn)
        print(path.relative_to(ROOT))
