"""The model card of `helip refine`: what the best model is, how it was chosen, and what its numbers do not say."""

from helip.reporting.refine_content import ModelRow, Page

HEAD = """---
library_name: open_clip
pipeline_tag: zero-shot-image-classification
tags: [clip, helip]
---
"""


def card(page: Page) -> str:
    """Returns the card in Markdown, from the same content as the page."""
    trainings = "one training of each arm" if page.trainings == 1 else f"{page.trainings} trainings of each arm"
    rows = [f"| {' | '.join(_cells(row))} |" for row in page.rows]
    held = page.held_out
    return "\n".join([
        f"{HEAD}# {page.best.label}, refined by `helip refine`", "",
        page.question, "", *(f"- {sentence}" for sentence in page.sentences), "",
        "## How it was made", "",
        f"{page.pairs} pairs were trained on. {held['validation']} images chose among the models, and {held['test']} others are what the "
        f"numbers are of; nothing was trained on either. There was {trainings}, of equal length.", "",
        "| model | validation | image to text | text to image | over start | over control |",
        "|---|---|---|---|---|---|", *rows, "",
        f"R@1 in percent; differences in points, with 95 % intervals over the items{' and trainings' if page.trainings > 1 else ''}.", "",
        "## What this does not say", "",
        "- The test images are of the same collection as the training images: of other images and captions the numbers say nothing.",
        *(["- With one training of each arm the intervals do not hold the luck of a training."] if page.trainings == 1 else []),
        "- What the start had learned of people, places and groups, wrong or unfair, is in this model too. Nothing here looked for it.", "",
    ])  # fmt: skip


def _cells(row: ModelRow) -> list[str]:
    changes = (one.text if one else "" for one in (row.over_start, row.over_control))
    return [row.label, *(f"{value:.1f}" for value in (row.validation, row.to_text, row.to_image)), *changes]
