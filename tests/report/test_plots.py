import io

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from ascjax.report import plots
from ascjax.scoring.selective import coverage_accuracy


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def draw(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    return file.getvalue()


def is_inside(artist, figure):
    extent, page = artist.get_window_extent(), figure.bbox.padded(1)
    return page.contains(extent.x0, extent.y0) and page.contains(extent.x1, extent.y1)


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
    counts = 7 * np.eye(count, dtype=int)
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
    log_mel = plots.LogMel(rng.normal(size=(128, 431)), 0.5, 48000)
    return log_mel, posteriors, posteriors.mean(axis=0)


def test_fragments_stand_under_their_frames():
    log_mel, posteriors, scores = example(6, 4)
    figure = plots.fragments(log_mel, posteriors, scores, scenes="abcd", true_scene=1)
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
        figure = plots.fragments(log_mel, posteriors, np.array(scores), scenes="abc", true_scene=1)
        labels = figure.axes[2].get_yticklabels()
        assert [text.get_text() for text in labels] == expected


def test_of_many_scenes_the_true_the_predicted_and_the_likeliest_are_shown():
    posteriors = np.full((1, 50), 1e-4)
    posteriors[0, 20:31] = np.linspace(0.1, 0.05, 11)
    posteriors /= posteriors.sum()
    scores = posteriors[0].copy()
    figure = plots.fragments(
        plots.LogMel(np.zeros((8, 9)), 0.02, 16000), posteriors, scores,
        scenes=[f"s{i}" for i in range(50)], true_scene=3,
    )  # fmt: skip
    shown = [text.get_text().split()[0] for text in figure.axes[2].get_yticklabels()]
    assert shown == ["s3", *(f"s{i}" for i in range(20, 29))]


@pytest.mark.parametrize(("fragments", "scenes"), [(1, 2), (12, 50)])
def test_fragments_figure_is_drawn_for_any_count(fragments, scenes):
    log_mel, posteriors, scores = example(fragments, scenes)
    names = [f"scene {i}" for i in range(scenes)]
    figure = plots.fragments(log_mel, posteriors, scores, scenes=names, true_scene=0)
    assert draw(figure)


def test_a_name_is_no_formula_and_matplotlibs_settings_stay():
    before = dict(matplotlib.rcParams)
    figure = plots.confusion(np.eye(2, dtype=int), scenes=(r"$\frac{", "a$b$"))
    assert draw(figure)
    assert dict(matplotlib.rcParams) == before


def test_confusion_in_a_column_fits_its_numbers_into_cells():
    counts = np.full((10, 10), 7) + 270 * np.eye(10, dtype=int)
    figure = plots.confusion(counts, scenes=["street_pedestrian"] * 10, normalise=False, columns=1)
    assert figure.get_figwidth() == 3.4
    figure.draw_without_rendering()
    ax = figure.axes[0]
    assert sorted(set(texts(ax))) == ["277", "7"]
    cell = ax.get_window_extent().width / 10
    assert all(text.get_window_extent().width < cell for text in ax.texts)
    assert min(text.get_fontsize() for text in [*ax.texts, *ax.get_yticklabels()]) >= 6
    for text in [*ax.get_yticklabels(), *ax.get_xticklabels(), ax.xaxis.label, ax.yaxis.label]:
        assert is_inside(text, figure)


def test_confusion_of_too_many_scenes_for_numbers_has_a_colour_bar():
    figure = plots.confusion(
        10 * np.eye(50, dtype=int), scenes=[f"scene {i}" for i in range(50)], columns=1
    )
    assert texts(figure.axes[0]) == []
    assert figure.axes[1].get_ylabel() == "%"
    assert draw(figure)


def test_files_keep_text_as_text_and_are_the_same_each_time():
    def encoded(suffix):
        figure = plots.confusion(np.eye(2, dtype=int), scenes=("bus", "tram"), columns=1)
        return plots.encode(figure, suffix, dpi=300)

    files = {suffix: encoded(suffix) for suffix in ("png", "svg", "pdf")}
    assert b">predicted scene</text>" in files["svg"]
    assert b"/FontFile2" in files["pdf"], "TrueType, embedded"
    assert b"/Type3" not in files["pdf"]
    assert int.from_bytes(files["png"][16:20], "big") == 1020, "3.4 inches at 300 dpi"
    assert all(encoded(suffix) == content for suffix, content in files.items())


def test_overlapping_fragments_stand_where_they_are_cut():
    _, posteriors, scores = example(3, 4)
    log_mel = plots.LogMel(np.zeros((8, 431)), 1.0, 48000)
    figure = plots.fragments(log_mel, posteriors, scores, scenes="abcd", true_scene=1, overlap=0.5)
    mel_ax, _, cells_ax = figure.axes[:3]
    # 431 frames, half overlapping: each 215 wide, from 0, 107 and 215.
    cuts = [line.get_xdata()[0] for line in mel_ax.lines[:4]]
    assert cuts == [107, 215, 322, 430]
    extents = [tuple(line.get_xdata()) for line in mel_ax.lines[4:]]
    assert extents == [(0, 215), (107, 322), (215, 430)]
    edges = sorted({x for path in cells_ax.collections[0].get_paths() for x in path.vertices[:, 0]})
    assert edges == [0, (215 + 107) / 2, (322 + 215) / 2, 430]


def test_scores_that_repeat_the_only_posteriors_are_left_out():
    log_mel, posteriors, scores = example(1, 4)
    for shown, expected in ((scores, False), (scores[::-1], True)):
        figure = plots.fragments(log_mel, posteriors, shown, scenes="abcd", true_scene=1)
        assert figure.axes[3].axison == expected


def test_long_names_stay_distinct():
    scenes = [f"a_rather_long_name_of_a_scene_{kind}_somewhere" for kind in ("indoors", "outdoors")]
    figure = plots.confusion(np.eye(2, dtype=int), scenes=scenes)
    names = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert len(set(names)) == 2
    assert max(map(len, names)) <= 28


def test_coverage_has_the_area_under_risk_over_coverage():
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    # The second most confident of four is wrong: error rates 0, 1/2, 1/3, 1/4.
    figure = plots.coverage(coverage_accuracy(scores, np.array([0, 0, 0, 0])), {})
    [ax] = figure.axes
    assert ax.get_title().endswith(" 0.271")  # (1/2 + 1/3 + 1/4) / 4
