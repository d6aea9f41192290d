import numpy as np
import pytest

from ascjax.scoring.occlusion import occlusion


def energy(batch):
    """A score that is the mean of a log-mel."""
    return batch.mean(axis=(1, 2, 3))


def test_loss_by_hand():
    log_mel = np.zeros((2, 4, 6))
    log_mel[:, 2:, 3:] = 1.0
    drops = occlusion(energy, log_mel, np.zeros(4), bands=2, slices=2)
    # A quarter of the mean is there, all of it in the upper band of the second half.
    np.testing.assert_allclose(drops, [[0, 0], [0, 0.25]])
    assert drops.dtype == np.float32


def test_a_part_is_replaced_by_the_mean_of_its_bands_in_every_channel():
    seen = []

    def remember(batch):
        seen.extend(batch.copy())
        return np.zeros(len(batch))

    log_mel, fill = np.full((2, 4, 6), 9.0), np.array([1.0, 2.0, 3.0, 4.0])
    occlusion(remember, log_mel, fill, bands=2, slices=3, batch_size=4)
    assert len(seen) == 8, "6 parts and the whole, the last batch padded"
    assert seen[4][0].tolist() == [[9] * 6] * 2 + [[9, 9, 3, 3, 9, 9], [9, 9, 4, 4, 9, 9]]
    np.testing.assert_array_equal(seen[4][0], seen[4][1])
    np.testing.assert_array_equal(seen[6], log_mel)


def test_uneven_parts_cover_the_log_mel_once():
    log_mel = np.ones((1, 7, 11))
    drops = occlusion(energy, log_mel, np.zeros(7), bands=3, slices=4)
    assert drops.sum() == pytest.approx(1)
    assert drops.shape == (3, 4)


@pytest.mark.parametrize(("bands", "slices"), [(0, 1), (8, 1), (1, 12)])
def test_a_grid_finer_than_the_log_mel_is_refused(bands, slices):
    with pytest.raises(ValueError, match=r"expected a grid of 1\.\.7 × 1\.\.11, got"):
        occlusion(energy, np.ones((1, 7, 11)), np.zeros(7), bands=bands, slices=slices)
