"""Agreement: one more item after the variants of a test, which compares what they recorded.

In the order of the data: `collection` makes the item, `item` runs it, `keeping` brings the records of other runs,
`comparison` says what is compared with what. What is compared is recorded by `pytest_graphmode.records.recording`.
"""
