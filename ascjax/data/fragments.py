"""Where the fragments of a log-mel lie (pure): the data's way of cutting, and the network's."""


def layout(num_frames: int, count: int, overlap: float = 0.0) -> tuple[int, list[int]]:
    """Returns the width of each fragment, in frames, and where each begins.

    Without overlap these are the paper's N_s equal pieces (section 2) of floor(frames / N_s) frames
    each; what is left at the end is dropped, with overlap too.

    Args:
      num_frames: of the whole log-mel.
      count: N_s.
      overlap: share of a fragment that lies in the next one as well, 0..<1.
    """
    hop = 1 - overlap
    # Rounded, since 1 + 4·0.2 and the like come out a little above what they are.
    width = int(round(num_frames / (1 + (count - 1) * hop), 6))
    return width, [int(round(index * width * hop, 6)) for index in range(count)]
