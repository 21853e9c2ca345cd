"""`python -m helip` is the command `helip`."""

from helip.cli import main

raise SystemExit(main())
