"""From records to the model card and the report.

May import: measuring and below; not publishing.
"""
