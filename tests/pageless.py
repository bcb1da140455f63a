"""`playground` as a process whose application is without its page.

``python -m tests.pageless serve …`` is for what only a process shows (signals, its death, its
output), where nobody looks at the page: Gradio takes two seconds to draw it.
"""

import sys
from functools import partial
from unittest.mock import patch

from playground import app
from playground.cli.main import main

if __name__ == "__mp_main__":  # one of its workers
    app.create_app = partial(app.create_app, ui=False)
if __name__ == "__main__":
    with patch.object(app, "create_app", partial(app.create_app, ui=False)):
        sys.exit(main())
