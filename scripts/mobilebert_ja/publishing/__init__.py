"""What goes to the Hub, and the cards of derived models.

May import: measuring and below; not card.
"""
