// How a labelled sound becomes a spectrogram.
#pragma once
#include <cstdint>

#include "core/config/fields.h"

namespace moe {

struct AudioConfig : Fields<AudioConfig> {
  int64_t rate = 16000;
  double seconds = 1;
  double window = 25;
  double hop = 10;
  int64_t bands = 80;
  double lowest = 20;
  double highest = 0;
  double range = 80;

  // In Hz: the key, or half of the rate.
  double highest_frequency() const { return highest > 0 ? highest : static_cast<double>(rate) / 2; }

  void fields(FieldVisitor& v) override;
};

}  // namespace moe
