"""`python -m live_sr`: where the script live-sr is not on the path."""

import sys

from live_sr.cli import main

sys.exit(main())
