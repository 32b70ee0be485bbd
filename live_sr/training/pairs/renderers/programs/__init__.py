"""Programs that child_program.py starts in a process of their own. Each draws the scenes of one engine."""
