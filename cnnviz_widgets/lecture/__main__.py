"""``python -m cnnviz_widgets.lecture``: see `cnnviz_widgets.lecture.main`."""

from cnnviz_widgets.lecture import main

raise SystemExit(main())
