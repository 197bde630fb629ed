// Labelled images -> the arrays of a batch.
#pragma once
#include "data/batch_loader.h"
#include "data/images/patches.h"

namespace moe {

class ImageLoader {
 public:
  // `leading`: tokens of a sample before its patches (a class token).
  ImageLoader(PatchGrid grid, Normalisation normalisation, int64_t leading)
      : grid_(grid), normalisation_(std::move(normalisation)), leading_(leading) {}

  const PatchGrid& grid() const { return grid_; }
  const Normalisation& normalisation() const { return normalisation_; }
  int64_t tokens_per_sample() const { return leading_ + grid_.patches(); }

  // Loads visits[i] of the split, augmented. Samples past the split's end are ignored entirely: they have no label, and
  // all positions are padding.
  void load(const ImageSplit& split, std::span<const SampleVisit> visits, const AugmentConfig& augment, uint64_t seed,
            Batch& batch) const;

 private:
  PatchGrid grid_;
  Normalisation normalisation_;
  int64_t leading_;
};

}  // namespace moe
