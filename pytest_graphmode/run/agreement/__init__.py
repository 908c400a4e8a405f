"""Agreement: one more item after the variants of a test, which compares what they recorded.

In the order of the data: `collection` makes the item, `item` runs it, `verdict` compares and words the result. What is
compared is recorded by `pytest_graphmode.records.recording`.
"""
