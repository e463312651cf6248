"""What a model that answers can bear: requests over HTTP, hostile ones among them, and many texts at once.

May import from `measuring.models`, `measuring.latency`, `measuring.runs` and `measuring.turns`.
"""
