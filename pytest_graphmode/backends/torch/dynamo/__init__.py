"""How Dynamo's compilations are seen: `source.py` is attached, the other modules describe one compilation."""
