// Noise on images, to measure how a model does beyond the distribution that it was trained on.
#pragma once
#include "data/images/image_corpus.h"

namespace moe {

// The first `images` of the split with independent Gaussian noise on each pixel, rounded and kept in [0, 255], as the
// Gaussian noise of ImageNet-C (Hendrycks and Dietterich, 2019, arXiv 1903.12261). `deviation`: relative to the pixels'
// range, so 0.1 is 25.5. The noise of a pixel depends only on the image's index and its place, and is proportional to
// the deviation, so that models and strengths are compared on the same noise.
ImageSplit with_noise(const ImageSplit& split, const ImageShape& shape, int64_t images, double deviation);

}  // namespace moe
