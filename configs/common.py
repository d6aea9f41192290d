"""Defaults of all settings, with units: the base of the other configs, not a recipe.

VGG-16 from random weights on the average channel. The other configs set only what differs. Any leaf
can be overridden on the command line, e.g. --config.features.num_mels=64 or
--config.channels=left,right,average.
Takes: not measured
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the defaults; a comment says why where the paper is silent."""
    config = ConfigDict()
    # Seeds the initial weights, the order of examples, dropout and augmentation.
    config.seed = 0
    # "paper": train on the whole training part and test the last epoch.
    # "validated": hold out part of it by location and city, and test the epoch that is best there.
    # "all": train on every recording, for a network to use; nothing is left to test it on. Length
    # and calibration are those of a run of the protocol "validated" with the same settings, see
    # train.from_run.
    config.protocol = "paper"
    # Accelerators (or host devices) that share a batch, over all processes; 0: all there are.
    config.num_devices = 0

    config.data = ConfigDict()
    # The data set's folder, or a CSV file with path,scene[,fold,location,city,device].
    config.data.root = ""
    # "auto" detects the layout; or its name, e.g. "tut" (TUT/TAU Urban Acoustic Scenes), "folders"
    # (one per scene) or "csv". "synthetic" synthesises a small set in the TUT layout at root.
    config.data.layout = "auto"
    # The official fold to train and test on, from 1.
    config.data.fold = 1
    # Which subset, where a set publishes several: "split5" to "split100" of DCASE 2024, "esc10" of
    # ESC-50.
    config.data.split = ""
    # Columns of a CSV file under other names than guessed: "path=filename,scene=label".
    config.data.columns = ""
    # Refuse recordings outside of root; otherwise they are counted and reported.
    config.data.stay_inside = False
    # Devices whose recordings are trained on, e.g. "a,b"; empty: all. All are tested.
    config.data.devices = ()
    # Label of recordings of none of the scenes, such as "unknown" of DCASE 2019 C, which is then no
    # class: those in the training part set the score below which the answer is "unknown" (under the
    # protocol validated), those in the test part measure it. Empty: every label is a scene.
    config.data.unknown = ""
    # The scenes in order, recordings of others are left out; empty: the set's own, alphabetically.
    config.data.scenes = ()
    # 0: the rate, and the duration, of most recordings in the set.
    config.data.sample_rate_hz = 0
    config.data.duration_s = 0.0
    # Shortest recording to use, as a share of that duration; a shorter one than the duration is
    # repeated to fill it.
    config.data.min_duration_share = 0.5
    # If a file cannot be read: "stop", or "skip" it and list it at the end.
    config.data.on_bad_file = "stop"
    # If the same sound is in the training and the test part or under two labels, or a location in
    # both parts: "warn", or "stop" before training. The same file by another path or link, bytes,
    # samples, and shifted or re-encoded excerpts of a second or more are found, within the first
    # minute of each recording.
    config.data.on_leak = "warn"
    # Share of the training part that the protocol "validated" holds out.
    config.data.validation_fraction = 0.3
    # Chooses among validation parts that are balanced equally well; config.seed doesn't.
    config.data.validation_seed = 0
    # Length of the windows that recordings are cut into, and the distance of their starts (0: the
    # length). 0: each recording is one window, of duration_s. All windows of a recording are in the
    # same part, and its decision is fused from them.
    config.data.window_s = 0.0
    config.data.window_hop_s = 0.0
    # Folder of extracted features, and the processes that extract them (0: one per core).
    config.data.store_dir = "store"
    config.data.num_workers = 0
    # "on" keeps the training part's log-mels on each device, in float32, and dispatches
    # log_every_steps at once (a request to stop waits for these); "auto" does so on accelerators
    # where they fit into a quarter of the free memory; "off" reads batches from the store, up to
    # four steps at once on the CPU, ten on accelerators. Off until its gain is measured on an
    # accelerator; there is none on the CPU.
    config.data.resident = "off"

    # The set of layout "synthetic".
    config.synthetic = ConfigDict()
    config.synthetic.num_recordings = 240
    config.synthetic.duration_s = 10.0
    config.synthetic.seed = 0

    # Section 2 of the paper: 128 mel bands, 46.4 ms windows every 23.2 ms, amplitude, logarithm.
    config.features = ConfigDict()
    # "log_mel", or "pcen": per-channel energy normalisation instead of the logarithm.
    config.features.name = "log_mel"
    config.features.num_mels = 128
    config.features.window_size_s = 0.0464
    config.features.hop_size_s = 0.0232
    # Floor under the logarithm; the paper names none. Amplitudes of full scale are about 1e2.
    config.features.log_floor = 1e-5
    # "hann" or "hamming".
    config.features.window = "hann"
    # "slaney": mel bands of equal area; "none": of equal height.
    config.features.mel_norm = "slaney"
    # "band": subtract each mel band's mean over the recording, and with it what a microphone's
    # frequency response adds to a log-mel; "none": don't.
    config.features.centring = "none"
    # In samples; the FFT has the next fast length from the window length, or from this if longer.
    config.features.min_fft_length = 0
    # PCEN's own (Wang et al. 2017), with librosa's defaults.
    config.features.pcen = ConfigDict()
    config.features.pcen.gain = 0.98
    config.features.pcen.bias = 2.0
    config.features.pcen.power = 0.5
    config.features.pcen.time_constant_s = 0.4
    config.features.pcen.eps = 1e-6

    # Any of "left", "right", "average": each is trained on, and they are fused at the test.
    config.channels = ("average",)
    config.fragments = ConfigDict()
    # N_s, the number of equal fragments of a log-mel.
    config.fragments.count = 1
    # Share of a fragment that overlaps the next one; the paper's do not overlap.
    config.fragments.overlap = 0.0

    config.model = ConfigDict()
    config.model.trunk = "vgg16"
    # "gap": global average pooling; "mlp": equation 2, with C' = head_width.
    config.model.head = "gap"
    config.model.head_width = 256
    # Before the last dense layer; the paper names none.
    config.model.dropout = 0.0
    # "bfloat16" computes activations in bf16; parameters, statistics, logits and loss stay f32.
    config.model.compute_dtype = "float32"
    # On the CPU: "auto" takes ascjax's own convolutions (Winograd and products), "xla" XLA's.
    config.model.convolutions = "auto"

    config.init = ConfigDict()
    # "random"; "imagenet": weights_dir/TRUNK.safetensors, made by `ascjax convert TRUNK`; or the
    # path of a converted file.
    config.init.weights = "random"
    config.init.weights_dir = "weights"
    # How kernels for three input planes take one: "sum" (as if the plane were fed three times),
    # "mean", or "replicate" (keep three planes).
    config.init.input_channel = "sum"
    # "none", "trunk", or the number of blocks from the input on that are not trained.
    config.init.freeze = "none"
    config.init.trunk_learning_rate_factor = 1.0

    config.train = ConfigDict()
    # Fragments per step, over all devices.
    config.train.batch_size = 32
    config.train.num_epochs = 15
    # The folder of the run that the protocol "all" follows: it trains as many epochs as that run's
    # best had, at the learning rates of num_epochs, and takes over its temperature and thresholds.
    config.train.from_run = ""
    config.train.label_smoothing = 0.0
    # Folder of a finished run whose scores are learned from as well, or of its folds, of which the
    # same one teaches; its test part must hold this run's. Their share of the loss, and the
    # temperature of both sides (Hinton et al. 2015).
    config.train.teacher = ""
    config.train.teacher_weight = 0.5
    config.train.teacher_temperature = 2.0
    # Recomputes activations inside the trunk's blocks for the gradients instead of keeping them: a
    # third more work, so that a larger batch of a ResNet fits on an accelerator. No gain for a VGG,
    # whose first block needs most memory, nor on the CPU, whose compiler undoes it.
    config.train.remat = False

    config.optimizer = ConfigDict()
    # "adamw", "adam" or "sgd" (Nesterov momentum).
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-4
    # "cosine" to zero, "one_cycle" (up for 30 % of the steps, then down) or "constant".
    config.optimizer.schedule = "cosine"
    # Linear warm-up; a VGG from random weights needs it.
    config.optimizer.warmup_epochs = 1.0
    # On kernels only, not on biases and BatchNorm; "adam" has none.
    config.optimizer.weight_decay = 1e-2
    config.optimizer.momentum = 0.9
    # Largest global norm of the gradient; 0: no clipping.
    config.optimizer.clip_norm = 1.0

    # All off, as the paper has none.
    config.augment = ConfigDict()
    # Largest circular shift in time, as a share of the frames; 0: off.
    config.augment.max_shift = 0.0
    # Alpha of mixup's Beta(alpha, alpha); 0: off.
    config.augment.mixup_alpha = 0.0
    # Freq-MixStyle, against device shift: alpha of its Beta(alpha, alpha) (0: off; published: 0.4),
    # and the share of examples whose bands take on another one's mean and deviation in part.
    config.augment.mix_style_alpha = 0.0
    config.augment.mix_style_share = 0.4
    # SpecAugment: number of masks, and their largest width in mel bands or frames; 0 masks: off.
    config.augment.num_mel_masks = 0
    config.augment.max_mel_mask = 16
    config.augment.num_frame_masks = 0
    config.augment.max_frame_mask = 16

    config.eval = ConfigDict()
    config.eval.batch_size = 64

    # How posteriors become scores: "mean" (the paper's), "log_mean", "max", "median" or "vote".
    config.fusion = ConfigDict()
    config.fusion.fragments = "mean"
    config.fusion.channels = "mean"

    config.checkpoint = ConfigDict()
    # Number of latest checkpoints to keep, besides the best: a damaged one leads back to the one
    # before it.
    config.checkpoint.keep = 2
    # Epochs between checkpoints; one is also written when stopped, and at the end.
    config.checkpoint.every_epochs = 1

    # Steps between checks of the loss (a NaN ends the run) and writes to the event file.
    config.log_every_steps = 20
    return config
