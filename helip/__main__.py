from helip.cli import main

raise SystemExit(main())
