import librosa
import numpy as np
import pytest

from ascjax.report import plots


def pitched(pitch_hz, sample_rate_hz, frames=50):
    """A log-mel in which only the band around one pitch sounds."""
    values = np.full((128, frames), -11.0)
    centres_hz = librosa.mel_frequencies(130, fmax=sample_rate_hz / 2)[1:-1]
    values[np.abs(centres_hz - pitch_hz).argmin()] = 1.0
    return plots.LogMel(values, 0.02, sample_rate_hz)


@pytest.mark.parametrize("sample_rate_hz", [16000, 48000])
def test_a_pitch_stands_at_its_tick(sample_rate_hz):
    figure = plots.spectrograms([pitched(2000, sample_rate_hz)], titles=["a"], columns=1)
    ax = figure.axes[0]
    names = [text.get_text() for text in ax.get_yticklabels()]
    ticks = dict(zip(names, ax.get_yticks(), strict=True))
    sounding = int(ax.images[0].get_array()[:, 0].argmax())
    assert abs(ticks["2,000"] - sounding) <= 0.5
    assert ("16,000" in ticks) == (sample_rate_hz == 48000)


def test_spectrograms_share_colours_and_leave_no_empty_frame():
    quiet, loud = pitched(500, 48000), pitched(4000, 16000, frames=80)
    loud = plots.LogMel(loud.values + 3, loud.hop_size_s, loud.sample_rate_hz)
    figure = plots.spectrograms([quiet, loud, quiet], titles=list("abc"), columns=2)
    panels = figure.axes[:4]
    assert [ax.get_title() for ax in panels] == ["a", "b", "c", ""]
    assert [ax.axison for ax in panels] == [True, True, True, False]
    assert {ax.images[0].get_clim() for ax in panels[:3]} == {(-11, 4)}
    assert [ax.get_xlabel() for ax in panels[:3]] == ["", "time / s", "time / s"]
    assert panels[1].get_xlim() == (0, 80 * 0.02)
    assert len(figure.axes) == 5, "one colour bar for all"
    assert figure.get_figwidth() == 7
    figure.draw_without_rendering()


def test_occlusion_lies_under_its_log_mel_in_points_about_zero():
    drops = np.array([[0.1, 0.0], [-0.3, 0.2]], np.float32)
    figure = plots.occlusion(pitched(500, 48000), drops)
    log_mel, parts = figure.axes[:2]
    assert parts.get_xlim() == log_mel.get_xlim() == (0, 1)
    np.testing.assert_allclose(parts.images[0].get_array(), [[10, 0], [-30, 20]], rtol=1e-6)
    assert parts.images[0].get_clim() == pytest.approx((-30, 30))
    figure.draw_without_rendering()


def test_another_front_end_names_its_own_unit():
    log_mel = plots.LogMel(np.zeros((8, 9)), 0.02, 16000, "pcen")
    figure = plots.spectrograms([log_mel], titles=["a"], columns=1)
    assert figure.axes[-1].get_ylabel() == "pcen"
