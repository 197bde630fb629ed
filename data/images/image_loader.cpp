#include "data/images/image_loader.h"

namespace moe {

void ImageLoader::load(const ImageSplit& split, std::span<const SampleVisit> visits, const AugmentConfig& augment,
                       uint64_t seed, Batch& batch) const {
  load_patches(
      visits, split.size(), {tokens_per_sample(), grid_.patches(), grid_.features()}, batch,
      [&](int64_t sample) { return split.label(sample); },
      [&](const SampleVisit& visit, std::span<float> patches) {
        cut_patches(split.image(visit.sample), grid_, normalisation_,
                    Augmentation::draw(augment, seed, visit.sample, visit.epoch), patches);
      });
}

}  // namespace moe
