"""The colours of all pictures.

The strong ones are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which people with any kind of colour
vision can tell apart; the fills are tints of them, light enough for dark text. No meaning rests on colour alone.
"""

INK = "#1a1a1a"
FAINT_INK = "#555555"
LINE = "#6b6b6b"
PAPER = "#ffffff"
PADDING = "#e4e4e4"

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES = ("-", "--", "-.", ":")

FILLS = {
    "embedding": "#d6eaf8",
    "norm": "#f1f1f1",
    "attention": "#fae3c3",
    "feed_forward": "#cdeadf",
    "pooling": "#f3dcea",
    "head": "#f7d5c4",
    "unused": "#ffffff",
}
FRAME = "#fafafa"
