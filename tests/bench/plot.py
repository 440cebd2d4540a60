# SPDX-License-Identifier: PostgreSQL
"""A table as a picture: a bar for each row, a panel for each column."""
from xml.sax.saxutils import escape

LABEL, PANEL, BAR, GAP, TOP = 170, 230, 16, 6, 60
COLOURS = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#9c755f"]


def _text(x, y, text, size=11, anchor="start"):
    return '<text x="%g" y="%g" font-size="%d" text-anchor="%s">%s</text>' % (
        x, y, size, anchor, escape(text))


def _panel(table, column, left):
    """The bars of one column: medians, with a line from the least to the greatest figure."""
    largest = max((max(f) for (_, c), f in table.cells.items() if c == column and f), default=1)
    scale = (PANEL - 80) / (largest or 1)
    parts = [_text(left, TOP - 8, column, 12)]
    for i, row in enumerate(table.rows):
        figures = table.cells.get((row, column))
        if not figures:
            continue
        y = TOP + i * (BAR + GAP)
        median = table.median(row, column)
        parts.append('<rect x="%g" y="%g" width="%g" height="%d" fill="%s"/>' % (
            left, y, median * scale, BAR, COLOURS[i % len(COLOURS)]))
        parts.append('<line x1="%g" x2="%g" y1="%g" y2="%g" stroke="black"/>' % (
            left + min(figures) * scale, left + max(figures) * scale, y + BAR / 2, y + BAR / 2))
        parts.append(_text(left + max(figures) * scale + 4, y + BAR - 4,
                           "%.*f" % (table.digits, median)))
    return parts


def svg(table):
    width = LABEL + PANEL * len(table.columns)
    height = TOP + len(table.rows) * (BAR + GAP) + 10
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
             'font-family="sans-serif">' % (width, height),
             '<rect width="100%" height="100%" fill="white"/>',
             _text(10, 22, "%s (%s)" % (table.title, table.unit), 14)]
    for i, row in enumerate(table.rows):
        parts.append(_text(LABEL - 8, TOP + i * (BAR + GAP) + BAR - 4, row, 11, "end"))
    for i, column in enumerate(table.columns):
        parts += _panel(table, column, LABEL + i * PANEL)
    return "\n".join(parts + ["</svg>"]) + "\n"
