"""The report."""


def write_report(path, story):
    path.write_text(repr(story.summary))
