"""The embedded default set: synthesised binaural scenes in the TUT layout.

It proves that the machinery works, needs no download, and is never quoted as a result. Each scene
is a background of shaped noise, the hum of an engine and a mixture of events in a room; locations
and recordings vary, and each recording leans towards a neighbouring scene, so that scenes overlap.
"""

import dataclasses
import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from ascjax.audio import isolated
from ascjax.data import sounds
from ascjax.errors import UserError
from ascjax.files import read_json
from ascjax.signals import StopRequest

SAMPLE_RATE_HZ = sounds.SAMPLE_RATE_HZ
MADE_WITH = "synthetic.json"  # in the set's folder: the parameters that it was made with
CITIES = ("alba", "borg", "cove", "dale")  # of no country, so that nobody takes it for real data
_FORMAT = 1  # raise it when the same parameters come to sound different


@dataclass(frozen=True)
class Scene:
    """What a scene sounds like.

    Attributes:
      level_db: background, re full scale.
      tilt_db: slope of the background above 100 Hz, per octave.
      rumble_db: gain of the background below 100 Hz.
      hum_db: engine, re background.
      hum_hz: its fundamental.
      reverb_s: time to decay by 60 dB.
      width: how different left and right are, 0..1.
      voices: and the following: events per minute, as `sounds.EVENTS` names them.
    """

    level_db: float
    tilt_db: float
    rumble_db: float
    hum_db: float
    hum_hz: float
    reverb_s: float
    width: float
    voices: float = 0
    steps: float = 0
    birds: float = 0
    passes: float = 0
    beeps: float = 0
    chimes: float = 0
    doors: float = 0
    clatter: float = 0


# fmt: off
SCENES = {
    #                          level  tilt  rumble  hum  hum_hz  reverb  width
    "airport":           Scene(-36, -3.6,   0,    0,  190, 1.6, 0.8,
                               voices=30, steps=40, beeps=24, chimes=6, doors=2),
    "bus":               Scene(-30, -6.5,  12,    6,   42, 0.2, 0.4,
                               voices=10, beeps=4, doors=12, clatter=16),
    "metro":             Scene(-29, -4.5,   4,    0,  130, 0.4, 0.5,
                               voices=6, chimes=3, doors=3, clatter=90),
    "metro_station":     Scene(-34, -5.6,   9,   -2,  100, 2.4, 0.7,
                               voices=20, steps=60, passes=10, chimes=6, doors=6, beeps=4),
    "park":              Scene(-43, -2.2,  -2,  -20,   60, 0.3, 0.9,
                               voices=4, steps=16, birds=70),
    "public_square":     Scene(-38, -3.2,   2,  -12,   60, 0.7, 0.9,
                               voices=26, steps=24, birds=20, passes=6),
    "shopping_mall":     Scene(-35, -2.6,   0,   -8,  150, 1.3, 0.8,
                               voices=80, steps=30, beeps=10, chimes=2),
    "street_pedestrian": Scene(-38, -4.2,   5,  -16,   60, 0.5, 0.8,
                               voices=36, steps=100, birds=4, passes=2),
    "street_traffic":    Scene(-32, -5.0,   8,   -6,   55, 0.4, 0.8,
                               voices=4, steps=12, passes=30, birds=4),
    "tram":              Scene(-32, -5.6,   7,    4,   80, 0.3, 0.5,
                               voices=12, chimes=4, doors=4, clatter=44, beeps=6),
}
# fmt: on
NEIGHBOURS = {
    "airport": ("shopping_mall", "metro_station"),
    "bus": ("tram", "street_traffic"),
    "metro": ("tram", "metro_station"),
    "metro_station": ("metro", "airport"),
    "park": ("public_square", "street_pedestrian"),
    "public_square": ("street_pedestrian", "park"),
    "shopping_mall": ("airport", "street_pedestrian"),
    "street_pedestrian": ("public_square", "shopping_mall"),
    "street_traffic": ("public_square", "bus"),
    "tram": ("bus", "metro"),
}


@dataclass(frozen=True)
class _Take:
    """One recording to be made; ``location`` and ``segment`` count through the whole set."""

    scene: str
    city: str
    location: int
    segment: int
    in_test: bool

    @property
    def identifier(self) -> str:
        return f"{self.city}-{self.location}"

    @property
    def name(self) -> str:
        return f"audio/{self.scene}-{self.identifier}-{self.segment}-a.wav"


def make(
    root: str | Path,
    *,
    num_recordings: int = 240,
    duration_s: float = 10.0,
    seed: int = 0,
    stop: StopRequest | None = None,
) -> Path:
    """Synthesises a set in the TUT layout, 48 kHz, 24 bit, binaural.

    The same arguments give the same bytes. The set appears whole or not at all; one that is there
    already with the same arguments is kept as it is.

    Args:
      root: the folder to make.
      num_recordings: at least 20; scenes and locations are as equal in number as can be. A third of
        the locations of each scene is the test part of fold 1.
      duration_s: of each recording, at least 0.5.
      seed: of everything random.
      stop: asked after each recording.

    Returns:
      ``root``.

    Raises:
      UserError: on nonsense arguments, or where ``root`` holds something else.
      Stopped: ``stop`` was requested; nothing is kept.
    """
    root = Path(root)
    if num_recordings < 20:
        raise UserError(
            f"num_recordings: expected at least 20, 2 of each scene, got {num_recordings}"
        )
    if not 0.5 <= duration_s <= 600:
        raise UserError(f"duration_s: expected 0.5 to 600 seconds, got {duration_s}")
    if seed < 0:
        raise UserError(f"seed: expected at least 0, got {seed}")
    parameters = {
        "format": _FORMAT,
        "num_recordings": num_recordings,
        "duration_s": duration_s,
        "seed": seed,
    }
    if _is_there(root, parameters):
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
        try:
            _write(partial, _plan(num_recordings), duration_s, seed, stop)
            (partial / MADE_WITH).write_text(json.dumps(parameters, indent=1) + "\n")
            partial.chmod(0o755)
            try:
                partial.rename(root)
            except OSError:
                if not _is_there(root, parameters):  # by another process, meanwhile
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"can't write a synthetic set to {root} ({error})") from error
    return root


def is_set(root: Path) -> bool:
    """Returns whether the data set in ``root`` was synthesised here."""
    return (root / MADE_WITH).is_file()


def _is_there(root: Path, parameters: dict) -> bool:
    """Returns whether the set is there; raises if something else is."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    made_with = root / MADE_WITH
    if not is_set(root):
        raise UserError(
            f"{root} exists and holds no synthetic set; name a new folder for one, or choose "
            "another layout"
        )
    there = read_json(made_with, hint=f"delete {root}, and the same command makes it anew")
    if there != parameters:
        differing = ", ".join(
            f"{key} {there.get(key)} (wanted {value})"
            for key, value in parameters.items()
            if there.get(key) != value
        )
        raise UserError(
            f"{root} holds a synthetic set of {differing}; delete it or name another folder"
        )
    return True


def _plan(num_recordings: int) -> list[_Take]:
    """Returns what to record: scenes in turn, up to 3 recordings a location, cities in turn."""
    per_scene = num_recordings // len(SCENES)
    per_location = max(1, min(3, per_scene // 4))
    num_locations = -(-per_scene // per_location)
    num_test = max(1, round(num_locations / 3))
    takes = []
    for segment in range(num_recordings):
        turn, scene = divmod(segment, len(SCENES))
        place = min(turn // per_location, num_locations - 1)
        takes.append(
            _Take(
                scene=list(SCENES)[scene],
                city=CITIES[place % len(CITIES)],
                location=place * len(SCENES) + scene,
                segment=segment,
                in_test=place >= num_locations - num_test,
            )
        )
    return sorted(takes, key=lambda take: (take.scene, take.segment))


def _write(
    root: Path, takes: list[_Take], duration_s: float, seed: int, stop: StopRequest | None
) -> None:
    """Writes tables and audio; threads suffice, as FFTs and random numbers let others run."""
    (root / "audio").mkdir()
    setup = root / "evaluation_setup"
    setup.mkdir()
    header = "filename\tscene_label\tidentifier\tsource_label"
    meta = [f"{take.name}\t{take.scene}\t{take.identifier}\ta" for take in takes]
    labelled = {take: f"{take.name}\t{take.scene}" for take in takes}
    _write_lines(root / "meta.csv", [header, *meta])
    _write_lines(setup / "fold1_train.txt", [labelled[t] for t in takes if not t.in_test])
    _write_lines(setup / "fold1_evaluate.txt", [labelled[t] for t in takes if t.in_test])
    _write_lines(setup / "fold1_test.txt", [t.name for t in takes if t.in_test])

    def record(take: _Take) -> None:
        wave = synthesise(take.scene, take.location, take.segment, duration_s, seed)
        soundfile.write(root / take.name, wave.T, SAMPLE_RATE_HZ, subtype="PCM_24")

    with ThreadPoolExecutor(isolated.num_cores()) as pool:
        try:
            jobs = pool.map(record, takes)
            for _ in tqdm(jobs, "synthesise", total=len(takes), unit="recording", leave=False):
                if stop is not None:
                    stop.check("while synthesising recordings")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def synthesise(scene: str, location: int, segment: int, duration_s: float, seed: int) -> np.ndarray:
    """Returns one recording, float32 [2, sample] in −1..1, from the random numbers of its place."""
    of_location = np.random.default_rng([seed, 1, location])
    of_recording = np.random.default_rng([seed, 2, segment])
    neighbour = NEIGHBOURS[scene][int(of_recording.integers(2))]
    settings = _mixture(SCENES[scene], SCENES[neighbour], of_recording.uniform(0, 0.4))
    settings = _varied(settings, of_location, 1.0)
    settings = _varied(settings, of_recording, 0.5)
    return sounds.render(
        dataclasses.asdict(settings), round(duration_s * SAMPLE_RATE_HZ), of_location, of_recording
    )


def _mixture(one: Scene, other: Scene, share: float) -> Scene:
    """Returns a scene between two."""
    return Scene(
        *(
            (1 - share) * a + share * b
            for a, b in zip(dataclasses.astuple(one), dataclasses.astuple(other), strict=True)
        )
    )


def _varied(scene: Scene, rng: np.random.Generator, amount: float) -> Scene:
    """Returns a scene with other levels (in dB, added) and rates, sizes and pitches (factors)."""
    spread_db = {"level_db": 2.0, "tilt_db": 0.15, "rumble_db": 1.5, "hum_db": 1.5}
    varied = {}
    for key, value in dataclasses.asdict(scene).items():
        noise = amount * rng.standard_normal()
        if key in spread_db:
            varied[key] = value + spread_db[key] * noise
        else:
            varied[key] = value * float(np.exp(0.2 * noise))
    return Scene(**{**varied, "width": min(varied["width"], 1.0)})
