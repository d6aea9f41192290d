"""Width and first frames of the fragments that a log-mel is cut into (pure)."""


def layout(num_frames: int, count: int, overlap: float = 0.0) -> tuple[int, list[int]]:
    """Returns the width of each fragment and the first frame of each.

    Without overlap these are the paper's N_s equal pieces (section 2) of floor(frames / N_s) frames
    each: 431 frames make 6 of 71, and the last 5 are dropped. With overlap the last ones are too.

    Args:
      num_frames: frames of the whole log-mel.
      count: N_s.
      overlap: share of a fragment that lies in the next one as well, 0..<1.
    """
    hop = 1 - overlap  # in widths
    # Rounded, since 1 + 4·0.2 and the like come out a little above what they are.
    width = int(round(num_frames / (1 + (count - 1) * hop), 6))
    return width, [int(round(index * width * hop, 6)) for index in range(count)]
