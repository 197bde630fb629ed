// Samples of two parts (an image and a text) as unit vectors in host memory, and what comparing all of them gives:
// retrieval in both directions, and classification by the classes' mean second parts.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "core/model/model.h"

namespace moe {

class Gallery {
 public:
  // Room for `samples` samples with two vectors of `width` elements. All are absent at first.
  void clear(int64_t samples, int64_t width);
  int64_t samples() const { return samples_; }
  int64_t width() const { return width_; }

  // Sets a sample. `label`: its class; kIgnoreTarget: the sample is compared with none.
  void set(int64_t sample, std::span<const double> first, std::span<const double> second, int32_t label,
           double weight = 1);
  // Each sample has been set on at most one rank. Afterwards all ranks have all. Collective.
  void gather(Communicator& world);

  std::span<const double> vector(int64_t sample, int part) const {
    return row(sample).subspan(static_cast<size_t>(part * width_), static_cast<size_t>(width_));
  }
  int32_t label(int64_t sample) const;
  double weight(int64_t sample) const { return row(sample)[static_cast<size_t>(2 * width_ + 1)]; }

  // The results of the samples [first, first + count), with all samples as candidates. The scores are `scale` times the
  // vectors' products; the losses are those of core/ops/class_contrast.h.
  std::vector<ComparedSample> compare(int64_t first, int64_t count, double scale) const;

 private:
  std::span<const double> row(int64_t sample) const {
    return std::span(rows_).subspan(static_cast<size_t>(sample * columns()), static_cast<size_t>(columns()));
  }
  // First vector, second vector, label + 1, weight.
  int64_t columns() const { return 2 * width_ + 2; }
  // The mean second vector of each class with the length 1, by class.
  std::vector<std::vector<double>> class_means() const;

  int64_t samples_ = 0, width_ = 0;
  std::vector<double> rows_;
};

}  // namespace moe
