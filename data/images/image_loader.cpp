#include "data/images/image_loader.h"

#include <algorithm>

namespace moe {

void ImageLoader::load(const ImageSplit& split, std::span<const SampleVisit> visits, const AugmentConfig& augment,
                       uint64_t seed, Batch& batch) const {
  const int64_t time = tokens_per_sample(), numbers = grid_.patches() * grid_.features();
  batch.resize_labelled(static_cast<int64_t>(visits.size()), time, numbers);
  batch.patch_features = grid_.features();
  for (size_t i = 0; i < visits.size(); ++i) {
    const int64_t sample = visits[i].sample;
    const bool exists = sample < split.size();
    const auto targets = std::span(batch.targets).subspan(i * static_cast<size_t>(time), static_cast<size_t>(time));
    const auto patches =
        std::span(batch.features).subspan(i * static_cast<size_t>(numbers), static_cast<size_t>(numbers));
    std::fill(targets.begin(), targets.end(), exists ? 0 : kIgnoreTarget);
    batch.labels[i] = exists ? split.label(sample) : kIgnoreTarget;
    batch.sample_ids[i] = sample;
    if (exists) {
      cut_patches(split.image(sample), grid_, normalisation_,
                  Augmentation::draw(augment, seed, sample, visits[i].epoch), patches);
    } else {
      std::fill(patches.begin(), patches.end(), 0.0f);
    }
  }
}

}  // namespace moe
