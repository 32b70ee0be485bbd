"""Engines that take long to build: kept under engines/, found again, and built in a process of their own."""
