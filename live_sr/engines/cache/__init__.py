"""Engines that take long to build: kept in a folder, found again, and built in a process of their own."""
