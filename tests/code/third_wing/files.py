"""Sounds: short WAV files in a folder for each class, as 64 samples of sound each."""
import wave

import numpy as np

LENGTH = 64

def wav_files(path): return sorted(path.glob("*/*.wav"))

def claims(path): return path.is_dir() and bool(wav_files(path))

def refused(path): return f"{path} holds no sounds. Name a folder with a folder of WAV files for each class."

def in_a_folder(about): return True

def rows_and_columns(path): return 1.0, 1.0

def describe(path, asked, build): return build(target={"name": asked.target or "class"}), []

def mistakes_in(about): return ["images are for kind: image; remove them."]*(about.images is not None)

def heard(file):
    with wave.open(str(file)) as sound: tones = np.frombuffer(sound.readframes(LENGTH), np.int16)
    return np.pad(tones, (0, LENGTH - len(tones))).astype(np.float32)

def load_described(about, path, common):
    from fashion_mlops.samples.splits import Loaded
    files = wav_files(path)
    classes = sorted({file.parent.name for file in files})
    labels = np.array([classes.index(file.parent.name) for file in files])
    split_rule = "at random, each class in its proportion"
    return Loaded(np.stack([heard(file) for file in files]), labels, classes, about={**common, "target": about.target.name, "split_rule": split_rule})

def extent(samples): return f"sounds of {samples.inputs.shape[1]} samples"

def counted(about, samples): return extent(samples)

def draw_samples(samples):
    import matplotlib.pyplot as plt
    figure, axis = plt.subplots()
    axis.plot(samples.inputs[:4].T)
    return figure, f"Four sounds of {samples.dataset}."
