"""
From a wav file to a scene
==========================

Every step between an audio file and a decision, drawn: waveform, channels, log-mel, fragments,
feature maps, posteriors, scores. The network is the small one that comes with ascjax and knows the
ten sounds of ESC-10. It is asked as the paper asks its own: on left, right and average channel, and
on three fragments of each.

Run it in a notebook or an editor that knows ``# %%`` cells, or from a terminal::

    python examples/wav_to_scene.py             # opens a window for each plot
    python examples/wav_to_scene.py clip.wav plots/    # your recording, plots as PNG files

Without a recording, a clock ticks: louder on the left, for five seconds.
"""

# %%
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import soundfile

import ascjax
from ascjax.audio import wave
from ascjax.data.fragments import layout
from ascjax.data.normalisation import normalise
from ascjax.models import variables
from ascjax.runs.network import MODEL_FILE
from ascjax.scoring.calibration import temper

CHANNELS = ("left", "right", "average")
NUM_FRAGMENTS = 3


def write_clock(path: Path, rate_hz: int = 44_100, seconds: float = 5.0) -> Path:
    """Two ticks a second, half as loud on the right, over faint noise."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    since_tick_s = time_s % 0.5
    tick = np.sin(2 * np.pi * 2500 * since_tick_s) * np.exp(-900 * since_tick_s)
    noise = np.random.default_rng(0).normal(size=(len(time_s), 2))
    soundfile.write(path, tick[:, None] * [0.2, 0.1] + 1e-5 * noise, rate_hz, "PCM_24")
    return path


recording = (
    Path(sys.argv[1]) if len(sys.argv) > 1 else write_clock(Path(tempfile.mkdtemp(), "clock.wav"))
)

# %%
# The waveform
# ------------
# A trained network is a :class:`ascjax.Run`: a folder with its variables and with what it expects.
# The recording is read at the network's sample rate, and as long as the clips of its training; a
# shorter one is repeated.

run = ascjax.load("esc10").runs[0]
front_end, scenes = run.front_end, run.info.scenes
rate_hz = front_end.sample_rate_hz
samples, _ = wave.read(recording, rate_hz, duration_s=run.info.duration_s)
places = np.arange(round(run.info.duration_s * rate_hz)) % samples.shape[1]
samples = samples[:, places]  # [column, sample]
print(f"{recording.name}: {samples.shape[0]} columns of {samples.shape[1]:,} samples")

figure, axes = plt.subplots(len(samples), sharex=True, sharey=True, squeeze=False, figsize=(8, 3))
for column, axis in enumerate(axes.flat):
    axis.plot(np.arange(samples.shape[1]) / rate_hz, samples[column], linewidth=0.4)
    axis.set_ylabel(f"column {column + 1}")
axes.flat[-1].set_xlabel("time / s")
figure.suptitle("waveform")
figure.tight_layout()

# %%
# Channels
# --------
# A channel is a view of a recording: ``left``, ``right``, or their ``average`` in the time domain
# (the paper's section 2). Of a mono recording all three are the same.

channels = wave.to_channels(samples, CHANNELS)  # [channel, sample]

figure, axes = plt.subplots(len(CHANNELS), sharex=True, sharey=True, figsize=(8, 4))
zoomed = slice(0, round(0.01 * rate_hz))
for name, values, axis in zip(CHANNELS, channels, axes, strict=True):
    axis.plot(1000 * np.arange(zoomed.stop) / rate_hz, values[zoomed])
    axis.set_ylabel(name)
axes[-1].set_xlabel("time / ms")
figure.suptitle("channels, the first 10 ms")
figure.tight_layout()

# %%
# Log-mels
# --------
# Windows of 46.4 ms every 23.2 ms, amplitudes in 128 mel bands, natural logarithm (section 4.1).

log_mel = front_end(channels)  # [channel, mel, frame]
print(f"log-mels {log_mel.shape}: [channel, mel, frame]")


def draw(axis, values, seconds, **settings):
    """Draws [mel, frame] over time."""
    extent = (0, seconds, 0, len(values))
    return axis.imshow(values, origin="lower", aspect="auto", extent=extent, **settings)


figure, axes = plt.subplots(1, len(CHANNELS), sharey=True, figsize=(9, 3), layout="constrained")
limits = {"vmin": log_mel.min(), "vmax": log_mel.max()}
for name, values, axis in zip(CHANNELS, log_mel, axes, strict=True):
    image = draw(axis, values, run.info.duration_s, cmap="magma", **limits)
    axis.set(title=name, xlabel="time / s")
axes[0].set_ylabel("mel band")
figure.colorbar(image, ax=axes, label="ln amplitude")

# %%
# Fragments, normalised
# ---------------------
# A log-mel is cut along time into ``N_s`` equal fragments (section 2), and each band is reduced
# by its mean over the training recordings and divided by its deviation there.

width, starts = layout(log_mel.shape[-1], NUM_FRAGMENTS)
fragments = np.stack([log_mel[..., start : start + width] for start in starts], axis=1)
examples = fragments.reshape(-1, front_end.num_mels, width, 1)  # one plane, as of a grey image
statistics = run.info.normalisation
normalised = np.asarray(
    normalise(jnp.asarray(examples), np.float32(statistics.mean), np.float32(statistics.deviation))
)
print(f"fragments {fragments.shape}: [channel, fragment, mel, frame]")

fragment_s = width * front_end.hop_length / rate_hz
figure, axes = plt.subplots(
    len(CHANNELS), NUM_FRAGMENTS, sharex=True, sharey=True, figsize=(9, 6), layout="constrained"
)
for axis, values in zip(axes.flat, normalised[..., 0], strict=True):
    image = draw(axis, values, fragment_s, cmap="RdBu_r", vmin=-4, vmax=4)
for index, axis in enumerate(axes[0]):
    axis.set_title(f"fragment {index + 1}")
for name, axis in zip(CHANNELS, axes[:, 0], strict=True):
    axis.set_ylabel(f"{name}\nmel band")
for axis in axes[-1]:
    axis.set_xlabel("time / s")
figure.colorbar(image, ax=axes, label="deviations from the mean of training")

# %%
# The trunk's feature maps
# ------------------------
# The trunk is an image network without its classifier: it turns a fragment into a feature map
# [F', T', C] (section 3), here 128 features at each of a few positions. The head, here ``gap``,
# averages them and maps the average to one logit a scene.

model = ascjax.create_model(run.info.model.trunk, run.info.model.head, len(scenes))
trained = variables.load(run.path / MODEL_FILE, run.results.model_sha256)


@jax.jit
def apply(inputs):
    """Returns logits [example, scene] and feature maps [example, F', T', C]."""
    logits, captured = model.apply(
        trained,
        inputs,
        train=False,
        capture_intermediates=lambda module, _: module.name == "trunk",
    )
    return logits, captured["intermediates"]["trunk"]["__call__"][0]


logits, features = map(np.asarray, apply(normalised))
print(f"feature maps {features.shape[1:]}: [F', T', C]")

most_active = features.mean(axis=(0, 1, 2)).argsort()[::-1][:8]
shown = features[0][..., most_active]
figure, axes = plt.subplots(2, 4, sharex=True, sharey=True, figsize=(9, 4), layout="constrained")
for feature, values, axis in zip(most_active, shown.T, axes.flat, strict=True):
    image = draw(axis, values.T, fragment_s, cmap="viridis", vmin=0, vmax=shown.max())
    axis.set_title(f"feature {feature}")
for axis in axes[:, 0]:
    axis.set_ylabel("F'")
figure.colorbar(image, ax=axes, label="activation")
for axis in axes[-1]:
    axis.set_xlabel("time / s")
figure.suptitle(f"the eight most active of {features.shape[-1]} features: left, fragment 1")

# %%
# Posteriors
# ----------
# A softmax over the logits of each fragment of each channel.

posteriors = np.asarray(jax.nn.softmax(logits)).reshape(len(CHANNELS), NUM_FRAGMENTS, -1)
names = [scene.partition(" - ")[2] or scene for scene in scenes]

figure, axes = plt.subplots(1, len(CHANNELS), sharey=True, figsize=(9, 4), layout="constrained")
for name, values, axis in zip(CHANNELS, posteriors, axes, strict=True):
    image = axis.imshow(values.T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set(title=name, xlabel="fragment")
    axis.set_xticks(range(NUM_FRAGMENTS), range(1, NUM_FRAGMENTS + 1))
axes[0].set_yticks(range(len(names)), names)
figure.colorbar(image, ax=axes, label="posterior")

# %%
# Fusion and decision
# -------------------
# The posteriors are averaged over fragments, then over channels (section 2), and tempered, by a
# temperature that was fitted to recordings held out of training so that scores tell how often they
# are right. The largest score is the decision.

fused = ascjax.fuse(posteriors[None])  # [recording, scene]
calibration = run.results.calibration
scores = temper(fused, calibration.temperature)[0]
print(f"{recording.name}: {names[scores.argmax()]}, {100 * scores.max():.1f} %")

figure, axis = plt.subplots(figsize=(8, 3.5), layout="constrained")
places = np.arange(len(names))
for index, name in enumerate(CHANNELS):
    axis.bar(places + 0.2 * (index - 1.5), posteriors[index].mean(axis=0), 0.2, label=name)
axis.bar(places + 0.3, scores, 0.2, color="black", label="all fused, tempered")
axis.set_xticks(places, names, rotation=30, ha="right")
axis.set(ylabel="score", ylim=(0, 1))
axis.legend()

# %%
# In two lines
# ------------
# The classifier does all of this, with the channels and fragments that the network was trained on
# (here the average channel, whole), and with the answer "unknown" for what it can't decide.

print(ascjax.load("esc10").predict(recording))

# %%
# Run from a terminal, the plots are shown, or written where the second argument says.

if len(sys.argv) > 2:
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for number in plt.get_fignums():
        plt.figure(number).savefig(folder / f"{number}.png")
else:
    plt.show()
