"""`live-sr evaluate`: the picture quality of networks and filters, and their cost.

Every picture goes through the engines that also run live. The metrics come from well-known libraries.
"""
