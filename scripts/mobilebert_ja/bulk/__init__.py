"""Many texts: read as they come, answered by several processes, written in order; killed and resumed.

May import: common, inference and the runtime; `folders` alone corpus and data, for datatrove's executors. No torch, no
transformers.
"""
