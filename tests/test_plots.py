import io

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from ascjax import plots


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def draw(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    return file.getvalue()


def history(epochs, validation=True):
    entries = []
    for epoch in range(1, epochs + 1):
        entry = {"epoch": epoch, "step": 10 * epoch, "train/loss": 2 / epoch, "train/accuracy": 0.5}
        if validation:
            entry |= {"validation/loss": 3 / epoch, "validation/accuracy": 0.25}
        entries.append(entry)
    return entries


def test_learning_curves_show_the_numbers_in_their_units():
    figure = plots.learning_curves(history(4), chance=0.1, chosen_step=20)
    loss, accuracy = figure.axes
    assert loss.get_ylabel() == "loss / nats"
    assert accuracy.get_ylabel() == "accuracy / %"
    train, validation, tested = loss.lines[:3]
    np.testing.assert_allclose(train.get_xydata(), [[1, 2], [2, 1], [3, 2 / 3], [4, 0.5]])
    np.testing.assert_allclose(validation.get_ydata(), [3, 1.5, 1, 0.75])
    assert list(tested.get_xdata()) == [2, 2]
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), 50)
    assert [text.get_text() for text in accuracy.get_legend().get_texts()] == [
        "training", "validation", "tested", "chance",
    ]  # fmt: skip


@pytest.mark.parametrize("epochs", [1, 200])
def test_learning_curves_of_any_length_with_and_without_validation(epochs):
    figure = plots.learning_curves(history(epochs, validation=False))
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["training"]
    assert figure.axes[0].get_ylim()[1] > 2
    assert draw(figure)


def test_confusion_gives_each_row_in_percent():
    counts = np.array([[3, 1, 0], [0, 5, 0], [0, 0, 0]])
    figure = plots.confusion(counts, scenes=("metro_station", "bus", "tram"))
    ax = figure.axes[0]
    assert texts(ax) == ["75", "25", "100"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[75, 25, 0], [0, 100, 0], [0, 0, 0]])
    rows = [text.get_text() for text in ax.get_yticklabels()]
    assert rows == ["metro station (4)", "bus (5)", "tram (0)"]
    assert len(ax.patches) == 1, "the row without recordings is hatched"


@pytest.mark.parametrize("count", [1, 2, 10, 50])
def test_confusion_of_few_and_many_scenes_stays_legible(count):
    counts = np.full((count, count), 7)
    figure = plots.confusion(
        counts, scenes=[f"a_very_long_scene_name_{i:020d}" for i in range(count)]
    )
    figure.draw_without_rendering()
    ax = figure.axes[0]
    assert min(text.get_fontsize() for text in [*ax.texts, *ax.get_yticklabels()]) >= 7
    cell_points = 72 * ax.get_position().width * figure.get_figwidth() / count
    assert cell_points > 2.2 * ax.texts[0].get_fontsize()


def example(fragments, scenes, seed=0):
    rng = np.random.default_rng(seed)
    posteriors = rng.dirichlet(np.full(scenes, 0.3), size=fragments)
    return rng.normal(size=(128, 431)), posteriors, posteriors.mean(axis=0)


def test_fragments_stand_under_their_frames():
    log_mel, posteriors, scores = example(6, 4)
    figure = plots.fragments(
        log_mel, posteriors, scores, scenes="abcd", true_scene=1, hop_size_s=0.5
    )
    mel_ax, _, cells_ax, fused_ax = figure.axes[:4]
    assert mel_ax.get_xlim() == cells_ax.get_xlim() == (0, 215.5)
    # floor(431 / 6) = 71 frames of 0.5 s; 5 frames are left over.
    edges = [line.get_xdata()[0] for line in mel_ax.lines]
    np.testing.assert_allclose(edges, [35.5, 71, 106.5, 142, 177.5, 213])
    np.testing.assert_allclose(cells_ax.collections[0].get_array(), 100 * posteriors.T)
    np.testing.assert_allclose(fused_ax.collections[0].get_array()[:, 0], 100 * scores)
    assert cells_ax.get_xlabel() == "time / s"


def test_true_and_predicted_scenes_are_marked():
    log_mel, posteriors, _ = example(3, 3)
    for scores, expected in [
        ([0.1, 0.7, 0.2], ["a", "b  ✓ true, predicted", "c"]),
        ([0.1, 0.2, 0.7], ["a", "b  ← true", "c  ✗ predicted"]),
    ]:
        figure = plots.fragments(
            log_mel, posteriors, np.array(scores), scenes="abc", true_scene=1, hop_size_s=0.02
        )
        labels = figure.axes[2].get_yticklabels()
        assert [text.get_text() for text in labels] == expected


def test_of_many_scenes_the_true_the_predicted_and_the_likeliest_are_shown():
    posteriors = np.full((1, 50), 1e-4)
    posteriors[0, 20:31] = np.linspace(0.1, 0.05, 11)
    posteriors /= posteriors.sum()
    scores = posteriors[0].copy()
    figure = plots.fragments(
        np.zeros((8, 9)), posteriors, scores, scenes=[f"s{i}" for i in range(50)], true_scene=3,
        hop_size_s=0.02,
    )  # fmt: skip
    shown = [text.get_text().split()[0] for text in figure.axes[2].get_yticklabels()]
    assert shown == ["s3", *(f"s{i}" for i in range(20, 29))]


@pytest.mark.parametrize(("fragments", "scenes"), [(1, 2), (12, 50)])
def test_fragments_figure_is_drawn_for_any_count(fragments, scenes):
    log_mel, posteriors, scores = example(fragments, scenes)
    names = [f"scene {i}" for i in range(scenes)]
    figure = plots.fragments(
        log_mel, posteriors, scores, scenes=names, true_scene=0, hop_size_s=0.0232
    )
    assert draw(figure)


def test_a_name_is_no_formula_and_matplotlibs_settings_stay():
    before = dict(matplotlib.rcParams)
    figure = plots.confusion(np.eye(2, dtype=int), scenes=(r"$\frac{", "a$b$"))
    assert draw(figure)
    assert dict(matplotlib.rcParams) == before
