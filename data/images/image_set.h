// Labelled images of one size, in their memory layout.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>
#include "core/base/integer.h"

namespace moe {

struct ImageShape {
  int64_t channels = 0, height = 0, width = 0;
  int64_t pixels() const { return channels * height * width; }
  bool operator==(const ImageShape&) const = default;
};

struct ImageSet {
  ImageShape shape;
  std::vector<uint8_t> pixels;  // (images, channels, height, width)
  std::vector<uint8_t> labels;  // (images)

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  std::span<const uint8_t> image(int64_t i) const {
    return std::span(pixels).subspan(static_cast<size_t>(i * shape.pixels()), static_cast<size_t>(shape.pixels()));
  }
  int32_t label(int64_t i) const { return labels[as_index(i)]; }
};

// The contents of a folder of a known format.
struct ImageFiles {
  ImageSet train, test;  // `test` may be empty
  int64_t classes = 0;   // labels are in [0, classes)
};

}  // namespace moe
