#!/usr/bin/env python3
"""Writes tests/data/audio/golden.json: mel filters of librosa, and a spectrogram computed with scipy and librosa.

Needs numpy, scipy and librosa (0.11 made the file). tests/data/audio/spectrogram_test.cpp compares our own with it.
"""
import json
import pathlib

import librosa
import numpy
import scipy.signal

RATE, WINDOW, HOP, FFT, BANDS, LOWEST, HIGHEST = 16000, 400, 160, 512, 80, 20, 8000


def signal(samples):
    """A tone that rises from 200 Hz by 4000 Hz a second, and a steady one."""
    t = numpy.arange(samples) / RATE
    return (0.5 * numpy.sin(2 * numpy.pi * (200 * t + 2000 * t * t)) + 0.1 * numpy.sin(2 * numpy.pi * 5000 * t))


filters = librosa.filters.mel(sr=RATE, n_fft=FFT, n_mels=BANDS, fmin=LOWEST, fmax=HIGHEST, htk=False, norm="slaney",
                              dtype=numpy.float64)
sparse = []
for row in filters:
    places = numpy.flatnonzero(row)
    sparse.append({"first": int(places[0]), "weights": [round(float(w), 10) for w in row[places[0]:places[-1] + 1]]})

x = signal(RATE // 5)
frames = len(x) // HOP
padded = numpy.concatenate([numpy.zeros(WINDOW), x, numpy.zeros(WINDOW)])
window = scipy.signal.get_window("hann", WINDOW)
power = []
for frame in range(frames):
    start = WINDOW + frame * HOP + (HOP - WINDOW) // 2
    spectrum = numpy.abs(numpy.fft.rfft(padded[start:start + WINDOW] * window, FFT)) ** 2
    power.append(filters @ spectrum)
power = numpy.array(power)
chosen = [0, 1, 7, 12, frames - 1]
# Where the tone is, with the bands' centres from librosa.
centres = librosa.mel_frequencies(n_mels=BANDS + 2, fmin=LOWEST, fmax=HIGHEST, htk=False)[1:-1]
result = {
    "filters": sparse,
    "centres": [round(float(c), 6) for c in centres],
    "frames": {str(f): [float(f"{v:.8g}") for v in power[f]] for f in chosen},
    "largest": float(f"{power.max():.8g}"),
}
path = pathlib.Path(__file__).parent / "golden.json"
path.write_text(json.dumps(result) + "\n")
