"""The page in a browser: `make test-demo` installs what it takes but Chromium itself."""

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
import soundfile

import ascjax
from ascjax.data import tryout
from ascjax.runs.loading import SHIPPED

ROOT = Path(__file__).parents[2]
PORT = 17_860
URL = f"http://127.0.0.1:{PORT}/"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
# Markup, and what two kinds of templates would evaluate.
NAME = "<img src=x onerror=alert(1)> ${6*7} {{value}}"
# Notes addresses that the server looks up or connects to, other than loopback's.
SERVER = """
import sys
def hook(event, args):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(args[1], tuple)):
        host = args[0] if event == "socket.getaddrinfo" else args[1][0]
        if host not in (None, "127.0.0.1", "localhost", "::1", "0.0.0.0", b"127.0.0.1"):
            print("ASKED", event, host, flush=True)
sys.addaudithook(hook)
from ascjax import __main__
__main__.main()
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The network that ships, with a scene of another name."""
    folder = tmp_path_factory.mktemp("run") / "esc10"
    shutil.copytree(SHIPPED / "esc10", folder)
    for name in ("run.json", "results.json"):
        path = folder / name
        path.write_text(path.read_text().replace("001 - Dog bark", NAME))
    return folder


@pytest.fixture(scope="module")
def served(run, tmp_path_factory):
    """The output of a page that is served, one megabyte and a minute at most."""
    pytest.importorskip("gradio", reason="needs gradio, see `make test-demo`")
    log = tmp_path_factory.mktemp("served") / "log"
    words = ["demo", f"--run={run}", f"--port={PORT}", "--max_mb=1", "--max_s=60"]
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-c", SERVER, *words],
            cwd=ROOT, stdout=file, stderr=subprocess.STDOUT,
            env={**os.environ, "XLA_FLAGS": flags},
        ) as process,
    ):  # fmt: skip
        while URL not in log.read_text():
            assert process.poll() is None, log.read_text()
            threading.Event().wait(0.2)
        yield log
        process.terminate()
        assert process.wait() == 0


@pytest.fixture(scope="module")
def browser(served):
    api = pytest.importorskip("playwright.sync_api", reason="see `make test-demo`")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium (looked for chromium and google-chrome on the PATH)")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Opens the page at a width; `errors` and `asked` gather what went wrong and where it went."""
    contexts = []

    def opened(width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 850}, **options)
        contexts.append(context)
        page = context.new_page()
        page.errors, page.asked = [], []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("dialog", lambda dialog: page.errors.append(dialog.message))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(URL)
        page.get_by_role("button", name="dog bark").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()


def heading(page):
    page.locator("#shown h2").wait_for(timeout=120_000)
    return page.locator("#shown h2").inner_text()


def test_a_real_clip_is_decided_as_by_the_classifier(visit, served, shared, run):
    clip = min((shared / "data" / "esc10" / "005 - Clock tick").glob("*.ogg"))
    expected = ascjax.load(run).predict(clip)
    page = visit(color_scheme="dark")
    page.set_input_files("#sound input[type=file]", clip)
    assert heading(page) == expected.scene == "005 - Clock tick"
    text = page.locator("#shown").inner_text()
    assert f"Score {100 * expected.score:.1f}" in text.replace("\u00a0", " ")
    assert "90 % set: 005 - Clock tick." in text
    assert page.locator("#shown img").evaluate("image => image.naturalWidth") > 300
    assert page.errors == []
    assert {url for url in page.asked if not url.startswith((URL, "data:", "blob:"))} == set()
    assert "ASKED" not in served.read_text()
    assert "Traceback" not in served.read_text()


def test_by_keyboard_on_a_phone_with_names_that_look_like_markup(visit):
    page = visit(width=390)
    page.get_by_role("button", name="dog bark").focus()
    page.keyboard.press("Enter")
    assert heading(page) == NAME
    summary = page.get_by_text("The timeline as a table")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#shown details td.words").inner_text() == NAME
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.errors == []


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("notes.wav", 900, "notes.wav: is no audio file"),
        ("large.wav", 2**21, "exceed the maximum allowed size of 1"),
    ],
)
def test_what_is_no_audio_or_too_large_is_said(visit, tmp_path, name, size, message):
    (tmp_path / name).write_bytes(b"no sound" * (size // 8))
    page = visit()
    page.set_input_files("#sound input[type=file]", tmp_path / name)
    page.get_by_text(message).first.wait_for(timeout=120_000)


def test_several_visitors_at_once(served, run):
    gradio_client = pytest.importorskip("gradio_client", reason="see `make test-demo`")
    classifier = ascjax.load(run)
    folder = run.parent
    sounds = tryout.sounds(classifier.scenes)
    answers = {}

    def ask(name, samples):
        path = folder / f"{name}.flac"
        soundfile.write(path, samples.T, 48_000)
        client = gradio_client.Client(URL, verbose=False)
        answers[name] = client.predict(
            gradio_client.handle_file(str(path)), 0.0, 0.9, api_name="/analyse"
        )

    threads = [threading.Thread(target=ask, args=item) for item in sounds.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.keys() == sounds.keys()
    for name, answer in answers.items():
        scene = classifier.predict(folder / f"{name}.flac").scene
        shown = "Unknown" if scene == "unknown" else scene.replace(NAME, "&lt;img src=x onerror")
        assert f"<h2>{shown}" in answer


@pytest.mark.parametrize("path", ["/etc/hostname", "http://sounds.invalid/a.wav"])
def test_only_what_was_uploaded_is_read(served, path):
    upload = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [upload, 0.0, 0.9]}).encode()
    request = urllib.request.Request(
        f"{URL}gradio_api/call/analyse", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{URL}gradio_api/call/analyse/{event}") as response:
        answer = response.read().decode()
    assert "event: error" in answer
    assert "ASKED" not in served.read_text()
