import os
import re
import subprocess
import sys
from pathlib import Path

from server import EMAIL, PASSWORD, FakeServer

FOLDER = Path(__file__).parent.parent


def test_the_readmes_example_runs_as_it_stands():
    example = re.search(r"^```python\n(.*?)^```$", (FOLDER / "README.md").read_text(), re.DOTALL | re.MULTILINE).group(
        1
    )
    server = FakeServer()

    def run(password):
        # Of the caller's own variables none, as they may name another place.
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(FOLDER / "src")}
        environment.update(SYNQ_URL=server.url, SYNQ_EMAIL=EMAIL, SYNQ_PASSWORD=password)
        ran = subprocess.run([sys.executable, "-"], input=example, env=environment, capture_output=True, text=True)
        return ran.stdout + ran.stderr

    assert run(PASSWORD) == "200 ADMIN\n"
    assert server.sessions == []
    assert run("wrong") == "nobody is signed in: sign-in: 401: this is refused\n"
    server.stop()
