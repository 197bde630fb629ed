#include "data/images/image_noise.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/philox.h"

namespace moe {

ImageSplit with_noise(const ImageSplit& split, const ImageShape& shape, int64_t images, double deviation) {
  auto set = std::make_shared<ImageSet>();
  set->shape = shape;
  set->pixels.reserve(as_index(images * shape.pixels()));
  for (int64_t i = 0; i < images; ++i) {
    const RandomKey key{0, RandomPurpose::image_noise, 0, static_cast<uint64_t>(i)};
    uint64_t place = 0;
    for (const uint8_t pixel : split.image(i)) {
      const double noisy = pixel + 255 * deviation * static_cast<double>(key.normal(place++));
      set->pixels.push_back(static_cast<uint8_t>(std::clamp(std::round(noisy), 0.0, 255.0)));
    }
    set->labels.push_back(static_cast<uint8_t>(split.label(i)));
  }
  std::vector<int64_t> members(as_index(images));
  std::iota(members.begin(), members.end(), int64_t{0});
  return {split.name(), std::move(set), std::move(members)};
}

}  // namespace moe
