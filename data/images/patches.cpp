#include "data/images/patches.h"

#include <cmath>

#include "core/base/integer.h"
#include "core/base/philox.h"

namespace moe {

constexpr uint32_t kAugmentationStream = 3;  // other streams: data/sampler.cpp and data/held_out.cpp

PatchGrid::PatchGrid(const ImageShape& shape, int64_t patch_side) : image(shape), side(patch_side) {
  if (image.height % side != 0 || image.width % side != 0) {
    raise<UsageError>("model.patch: patches of {} x {} do not divide images of {} x {}", side, side, image.width,
                      image.height);
  }
}

Normalisation Normalisation::of(const ImageSplit& split, const ImageShape& shape) {
  const int64_t area = shape.height * shape.width;
  std::vector<uint64_t> sums(static_cast<size_t>(shape.channels)), squares(sums.size());
  for (int64_t i = 0; i < split.size(); ++i) {
    const std::span<const uint8_t> image = split.image(i);
    for (size_t p = 0; p < image.size(); ++p) {
      const size_t channel = p / static_cast<size_t>(area);
      const uint64_t value = image[p];
      sums[channel] += value;
      squares[channel] += value * value;
    }
  }
  const double count = static_cast<double>(split.size() * area);
  Normalisation result;
  for (size_t c = 0; c < sums.size(); ++c) {
    const double mean = static_cast<double>(sums[c]) / count;
    const double variance = static_cast<double>(squares[c]) / count - mean * mean;
    result.mean.push_back(mean);
    result.scale.push_back(variance > 0 ? 1 / std::sqrt(variance) : 1);
  }
  return result;
}

Augmentation Augmentation::draw(const AugmentConfig& config, uint64_t seed, int64_t sample, int64_t epoch) {
  const RandomKey key{seed, RandomPurpose::sampling, kAugmentationStream, static_cast<uint64_t>(epoch)};
  const auto words = key.words(static_cast<uint64_t>(sample));
  const auto places = static_cast<uint32_t>(2 * config.shift + 1);
  return {static_cast<int64_t>(words[0] % places) - config.shift,
          static_cast<int64_t>(words[1] % places) - config.shift, config.flip && words[2] % 2 == 1};
}

void cut_patches(std::span<const uint8_t> image, const PatchGrid& grid, const Normalisation& normalisation,
                 const Augmentation& augmentation, std::span<float> patches) {
  const ImageShape& shape = grid.image;
  float* to = patches.data();
  for (int64_t top = 0; top < shape.height; top += grid.side) {
    for (int64_t left = 0; left < shape.width; left += grid.side) {
      for (int64_t c = 0; c < shape.channels; ++c) {
        const auto mean = static_cast<float>(normalisation.mean[as_index(c)]),
                   scale = static_cast<float>(normalisation.scale[as_index(c)]);
        for (int64_t y = top - augmentation.down; y < top - augmentation.down + grid.side; ++y) {
          for (int64_t i = 0; i < grid.side; ++i) {
            int64_t x = left + i - augmentation.right;
            if (augmentation.mirrored) x = shape.width - 1 - x;
            const bool inside = x >= 0 && x < shape.width && y >= 0 && y < shape.height;
            const uint8_t pixel = inside ? image[as_index((c * shape.height + y) * shape.width + x)] : 0;
            *to++ = (static_cast<float>(pixel) - mean) * scale;
          }
        }
      }
    }
  }
}

}  // namespace moe
