// Images -> normalised patches, which are a transformer's tokens.
#pragma once
#include <vector>

#include "data/images/image_corpus.h"

namespace moe {

struct PatchGrid {
  ImageShape image;
  int64_t side = 0;

  // Throws UsageError when the side does not divide the image.
  PatchGrid(const ImageShape& shape, int64_t patch_side);
  int64_t patches() const { return (image.height / side) * (image.width / side); }
  int64_t features() const { return image.channels * side * side; }
};

// Per channel: the mean that is subtracted from the pixels, and the factor by which they are then multiplied.
struct Normalisation {
  std::vector<double> mean, scale;
  // Computed so that the split's pixels get mean 0 and variance 1 in each channel.
  static Normalisation of(const ImageSplit& split, const ImageShape& shape);
};

// The augmentation of an image: shifted right and down, mirrored. Pixels from outside the image are 0.
struct Augmentation {
  int64_t right = 0, down = 0;
  bool mirrored = false;
  // Depends only on its arguments.
  static Augmentation draw(const AugmentConfig& config, uint64_t seed, int64_t sample, int64_t epoch);
};

// image (channels, height, width) -> patches (patches, features), row by row of the grid; each patch has the layout
// (channels, side, side)
void cut_patches(std::span<const uint8_t> image, const PatchGrid& grid, const Normalisation& normalisation,
                 const Augmentation& augmentation, std::span<float> patches);

}  // namespace moe
