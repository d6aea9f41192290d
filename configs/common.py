"""Every knob, with its unit and its default: VGG-16 from random weights on the average channel.

The other files import this one and set only what differs. Any leaf can be overridden on the command
line, e.g. --config.features.num_mels=64 or "--config.channels=('left','right','average')".
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the defaults; where the paper is silent they say why in a comment."""
    config = ConfigDict()
    # One number decides the initial weights, the order of fragments, dropout and augmentation.
    config.seed = 0
    # "paper": train on the whole training part, report the last epoch on the test part.
    # "validated": hold out part of it by location and city, choose the best epoch there.
    config.protocol = "paper"
    # Accelerators (or host devices) a batch is split over; 0: all that this process has.
    config.num_devices = 0

    config.data = ConfigDict()
    # A data set's folder, or a CSV file with path,scene[,fold,location,city].
    config.data.root = ""
    # "auto" recognises "tut" (TUT/TAU Urban Acoustic Scenes), "folders" (one for each scene) and
    # "csv"; "synthetic" synthesises a small set in the TUT layout under root.
    config.data.layout = "auto"
    # The official fold whose test part is tested; k for sets of k folds.
    config.data.fold = 1
    # The scene list in order; empty: the set's own, alphabetically.
    config.data.scenes = ()
    # 0: the rate, and the duration, that most recordings of the set have.
    config.data.sample_rate_hz = 0
    config.data.duration_s = 0.0
    # Share of that duration which a recording must have; a shorter one is repeated to fill it.
    config.data.min_duration_share = 0.5
    # A file that cannot be read: "stop", or "skip" it and list it at the end.
    config.data.on_bad_file = "stop"
    # Share of the training part held out under the protocol "validated".
    config.data.validation_fraction = 0.3
    # Where extracted features are kept, and by how many processes they are made (0: one a core).
    config.data.store_dir = "store"
    config.data.num_workers = 0
    # "on" keeps the training part's log-mels in float32 on each device, and takes log_every_steps
    # at once, after which a request to stop is heard; "auto" does so on accelerators, where they
    # fit in a quarter of the free memory; "off" reads batches from the store, for up to four steps
    # at once on the CPU, ten on accelerators. Off until its gain has been measured on an
    # accelerator; on a CPU there is none.
    config.data.resident = "off"

    config.synthetic = ConfigDict()
    config.synthetic.num_recordings = 240
    config.synthetic.duration_s = 10.0
    config.synthetic.seed = 0

    # Section 2 of the paper: 128 mel bands, 46.4 ms windows every 23.2 ms, amplitude, logarithm.
    config.features = ConfigDict()
    config.features.num_mels = 128
    config.features.window_size_s = 0.0464
    config.features.hop_size_s = 0.0232
    # The paper names no floor under the logarithm; amplitudes of full scale are about 1e2.
    config.features.log_floor = 1e-5
    # "hann" or "hamming"; "slaney" (bands of equal area) or "none" (of equal height).
    config.features.window = "hann"
    config.features.mel_norm = "slaney"
    # In samples; the FFT has the next fast length from the window or this on.
    config.features.min_fft_length = 0

    # Any of "left", "right", "average"; each is trained on and fused at the test.
    config.channels = ("average",)
    config.fragments = ConfigDict()
    # N_s, the number of equal pieces a log-mel is cut into.
    config.fragments.count = 1
    # Share of a fragment that lies in the next one as well; the paper's don't overlap.
    config.fragments.overlap = 0.0

    config.model = ConfigDict()
    config.model.trunk = "vgg16"
    # "gap": global average pooling; "mlp": equation 2 with C' = head_width.
    config.model.head = "gap"
    config.model.head_width = 256
    # Before the last dense layer; the paper names none.
    config.model.dropout = 0.0
    # "bfloat16" computes activations in bf16; parameters, statistics, logits and loss stay f32.
    config.model.compute_dtype = "float32"

    config.init = ConfigDict()
    # "random", "imagenet" (weights_dir/TRUNK.safetensors, made by `python -m convert TRUNK`) or
    # the path of a converted file.
    config.init.weights = "random"
    config.init.weights_dir = "weights"
    # Three input planes into one: "sum" (equal to feeding the plane three times), "mean",
    # "replicate" (keep three).
    config.init.input_channel = "sum"
    # "none", "trunk", or the number of first blocks of the trunk that stay as they are.
    config.init.freeze = "none"
    config.init.trunk_learning_rate_factor = 1.0

    config.train = ConfigDict()
    # Fragments a step, over all devices.
    config.train.batch_size = 32
    config.train.num_epochs = 15
    config.train.label_smoothing = 0.0
    # Computes what is inside the trunk's blocks again for the gradients and doesn't keep it: a
    # third more work, so that a larger batch of a ResNet fits on an accelerator. A VGG needs most
    # memory within its first block, and the compiler for CPUs undoes it: no gain there.
    config.train.remat = False

    config.optimizer = ConfigDict()
    # "adamw", "adam" or "sgd" (Nesterov momentum).
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-4
    # "cosine" to zero, "one_cycle" (up for 30 % of the steps, then down) or "constant".
    config.optimizer.schedule = "cosine"
    # Linear, from one step's share; the first steps from random weights of a VGG need it.
    config.optimizer.warmup_epochs = 1.0
    # On matrices and kernels only, not on biases and BatchNorm; "adam" has none.
    config.optimizer.weight_decay = 1e-2
    config.optimizer.momentum = 0.9
    # Global norm of the gradient; 0: no clipping.
    config.optimizer.clip_norm = 1.0

    # Off, as the paper has none.
    config.augment = ConfigDict()
    # Share of the frames by which an example is moved in time at most, round and round; 0: off.
    config.augment.max_shift = 0.0
    # Mixup's Beta(alpha, alpha); 0: off.
    config.augment.mixup_alpha = 0.0
    # SpecAugment: how many bands are masked, each up to so many mels or frames wide; 0: off.
    config.augment.num_mel_masks = 0
    config.augment.max_mel_mask = 16
    config.augment.num_frame_masks = 0
    config.augment.max_frame_mask = 16

    config.eval = ConfigDict()
    config.eval.batch_size = 64

    # How posteriors become scores: "mean" (the paper's), "log_mean", "max", "median", "vote".
    config.fusion = ConfigDict()
    config.fusion.fragments = "mean"
    config.fusion.channels = "mean"

    config.checkpoint = ConfigDict()
    # The last so many epochs are kept, besides the best.
    config.checkpoint.keep = 1
    # Every so many epochs; also when stopped, and at the end.
    config.checkpoint.every_epochs = 1

    # Steps between looks at the loss (a NaN stops the run) and writes to the event file.
    config.log_every_steps = 20
    return config
