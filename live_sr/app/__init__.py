"""The desktop app: what to look at (run), the parts wired (session), the keys (controls), the place (follow)."""
