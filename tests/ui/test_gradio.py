"""The page needs no pandas, and whoever does has the real one."""

import subprocess
import sys


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_application_is_made_without_pandas() -> None:
    run("import sys, playground.ui.blocks; assert 'pandas' not in sys.modules")


def test_gradio_uses_the_real_one_when_it_uses_it() -> None:
    run(
        "import playground.ui.blocks, gradio.caching; first = gradio.caching.pd.DataFrame; "
        "import pandas.io.json; assert pandas.DataFrame is first; assert pandas.io.json.read_json"
    )
