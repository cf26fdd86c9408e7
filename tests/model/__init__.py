"""A model of the order desk that is searched exhaustively.

The steps of orders come from the ledger's transition table; whatever else can happen is here: who
works on an order, what Wiro has made and shows, what a process holds in its memory when it dies.
"""
