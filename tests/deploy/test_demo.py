import asyncio
import importlib
import subprocess
import sys
from pathlib import Path

import html_page
import numpy as np
import pytest
import tiny_set

import ascjax
from ascjax.data import synthetic, tryout
from ascjax.deploy import demo, look, page
from ascjax.deploy.serving import Gate, Limits
from ascjax.errors import UserError
from ascjax.report import analysis, plots
from ascjax.runs.verdict import Analysis, Prediction, Scored

ROOT = Path(__file__).parents[2]
NAME = "<script>a & b</script>"
ANY = analysis.Guarantee()


@pytest.fixture(scope="module")
def classifier():
    return ascjax.load("esc10")


@pytest.fixture(scope="module")
def log_mel():
    return plots.LogMel(np.random.default_rng(0).normal(size=(40, 300)), 0.02, 16_000)


def analysed(unknown="", channels=("average",), **scores):
    scores = {NAME: 0.7, "park": 0.2, "metro_station": 0.1}
    stretches = (Scored(0.0, 2.0, scores, "", "", 1), Scored(2.0, 6.0, scores, "novel", "", 2))
    decision = Prediction(0.0, 6.0, scores, unknown, source="a.wav", windows=2, note="a note")
    return Analysis(decision, stretches, dict.fromkeys(channels, scores))


def test_an_analysis_is_that_of_the_prediction(finished_run):
    run, root = finished_run
    classifier, file = ascjax.load(run), next(iter(sorted(root.glob("bus/*.wav"))))
    found = classifier.analyse(file)
    assert found.decision == classifier.predict(file)
    assert [(each.fragment, each.channel) for each in found.stretches] == [(1, ""), (2, "")]
    # The run fuses by the mean, and has no temperature.
    mean = np.mean([list(each.values()) for each in found.channels.values()], axis=0)
    np.testing.assert_allclose(mean, list(found.decision.scores.values()), atol=1e-6)
    drawn = analysis.log_mel_of(classifier, str(file))
    assert drawn.values.shape[1] * drawn.hop_size_s == pytest.approx(2.0)


def test_the_page_of_an_analysis_says_it_all(log_mel):
    guarantee = analysis.Guarantee(0.8, 0.95, 0.9, 0.4)
    found = analysed("low score", channels=("left", "right"))
    shown = html_page.Page(analysis.html(found, log_mel, guarantee))
    for words in (
        f"Unknown The largest score ({NAME}, 70.0 %) is below 80.0 %, the least that is answered.",
        f"90 % set: {NAME} .",
        "Threshold: 80.0 %. Of the answers from that score on, at least 95 % are right.",
        "scene score left right",
        "metro station 10.0 % 10.0 % 10.0 %",
        "0:02.0 0:06.0 unknown (novel) 70.0 %",
        "Hatched: unknown.",
    ):
        assert words in shown.plain
    assert len(shown.refers_to) == 1
    assert shown.refers_to[0].startswith("data:image/svg+xml")


@pytest.mark.parametrize(
    ("unknown", "said"),
    [
        ("", ""),
        ("silence", "Silence: no part of the recording is louder than -70 dB of full scale."),
        ("novel", "Unlike everything that the network has learned. It would have said {}, 70.0 %."),
    ],
)
def test_the_page_says_why_it_gives_no_answer(unknown, said):
    assert analysis.reason(analysed(unknown).decision, ANY) == said.format(NAME)


def test_a_long_timeline_is_thinned_and_its_mean_stays():
    values = np.arange(3 * 2_500, dtype=np.float32).reshape(3, 2_500)
    thin = plots.thinned(plots.LogMel(values, 0.01, 16_000))
    assert (thin.values.shape, thin.hop_size_s) == ((3, 834), pytest.approx(0.03))
    np.testing.assert_allclose(thin.values[:, [0, -1]], values[:, [1, -1]])


def test_what_cannot_be_used_is_said_with_the_name_that_the_user_knows(classifier, tmp_path):
    limits = Limits(megabytes=1, seconds=3)
    (tmp_path / "text <b>.wav").write_text("no sound")
    tiny_set.write_wave(tmp_path / "large.wav", seconds=12)
    tiny_set.write_wave(tmp_path / "long.flac", seconds=3.1)
    for name, message in {
        "text <b>.wav": "<p>text &lt;b&gt;.wav: is no audio file",
        "large.wav": "<p>large.wav: is 1.1 MB large; at most 1 MB are taken",
        "long.flac": "<p>long.flac: is too long; at most 3 s are taken",
        "none.wav": "<p>none.wav: can&#39;t be opened",
    }.items():
        shown = page.answer(classifier, str(tmp_path / name), ANY, limits)
        assert message in shown
        assert str(tmp_path) not in shown
    assert page.answer(classifier, None, ANY, limits) == look.WAITING


def test_a_network_promises_what_it_was_calibrated_for(classifier, finished_run):
    assert page.promised(classifier.threshold, (0.8, 0.9, 0.99)) == {0.8: 0.0}
    assert list(page.promised(classifier.set_threshold, (0.8, 0.9, 0.95))) == [0.8, 0.9, 0.95]
    uncalibrated = ascjax.load(finished_run[0])
    assert page.promised(uncalibrated.threshold, (0.8, 0.9)) == {}
    assert "Without calibration" in look.head(uncalibrated, 1, 60, uncalibrated=True)


def test_sounds_to_begin_with(classifier):
    sounds = tryout.sounds(classifier.scenes)
    answers = {n: classifier.predict((s, tryout.SAMPLE_RATE_HZ)).scene for n, s in sounds.items()}
    assert answers == {
        "dog bark": "001 - Dog bark", "clock tick": "005 - Clock tick",
        "sea waves": "003 - Sea waves", "chainsaw": "008 - Chainsaw",
        "fire crackling": "010 - Fire crackling", "silence": "unknown",
    }  # fmt: skip
    synthesised = tryout.sounds(("park", "tram", "office"))
    assert [(name, each.shape) for name, each in synthesised.items()] == [
        ("park", (2, 480_000)), ("tram", (2, 480_000))
    ]  # fmt: skip
    assert set(synthesised) <= set(synthetic.SCENES)


def test_a_request_that_is_too_large_is_refused_before_it_is_read():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def asked(length):
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "headers": [(b"content-length", str(length).encode())]}
        asyncio.run(Gate(app, Limits(megabytes=1))(scope, None, send))
        return sent[0]["status"], dict(sent[0]["headers"])

    assert asked(2 * 10**9)[0] == 413
    status, headers = asked(2**20)
    assert status == 200
    assert b"default-src 'self'" in headers[b"content-security-policy"]


def test_without_gradio_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"needs gradio: pip install 'ascjax\[demo\]'"):
        demo.main(demo.parse(["ascjax demo"]))


def test_the_command_line():
    options = demo.parse(["ascjax demo"])
    assert (options.host, options.port, options.run) == ("127.0.0.1", 7860, None)
    for flag, message in {
        "--port=0": "expected 1 to 65535, got 0",
        "--max_mb=0": "expected 1 or more",
        "--max_s=nan": "expected more than 0 seconds",
        "--prot=80": "did you mean '--port'",
    }.items():
        with pytest.raises(UserError, match=message):
            demo.parse(["ascjax demo", flag])


def test_help_imports_neither_jax_nor_matplotlib_nor_gradio():
    code = (
        "import sys; from ascjax.deploy import demo; sys.exit(' '.join(\n"
        "{'jax', 'matplotlib', 'gradio'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_folder_gets_a_page_of_its_own(tmp_path, monkeypatch):
    served = []
    monkeypatch.setattr(page, "serve", served.append)
    page.write_app(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("app")
    sys.modules.pop("app")
    assert served == [tmp_path]
    assert (
        tmp_path / "requirements.txt"
    ).read_text() == f"ascjax[demo,export]=={ascjax.__version__}\n"
