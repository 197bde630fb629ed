// Fetches a block of memory into the L2 cache, a few lines at a time, while something else is computed.
#pragma once
#include <cstdint>

#include "core/base/integer.h"

namespace moe::cpu::inline MOE_LEVEL {

class Prefetcher {
 public:
  Prefetcher() = default;  // fetches nothing

  // block (rows, columns) is fetched in num_steps steps of the same length.
  template <class T>
  Prefetcher(const T* block, int64_t ld, int64_t rows, int64_t columns, int64_t num_steps)
      : row_(reinterpret_cast<const char*>(block)),
        stride_bytes_(ld * sizeof(T)),
        row_bytes_(columns * sizeof(T)),
        rows_left_(rows) {
    const int64_t num_lines = rows * divide_up(row_bytes_, kLineBytes);
    lines_per_step_ = divide_up(num_lines, num_steps);
  }

  void step() {
    for (int64_t i = 0; i < lines_per_step_ && rows_left_ > 0; ++i) {
      __builtin_prefetch(row_ + offset_bytes_, 0, 2);
      offset_bytes_ += kLineBytes;
      if (offset_bytes_ < row_bytes_) continue;
      offset_bytes_ = 0;
      row_ += stride_bytes_;
      --rows_left_;
    }
  }

 private:
  static constexpr int64_t kLineBytes = 64;
  const char* row_ = nullptr;
  int64_t stride_bytes_ = 0, row_bytes_ = 0, rows_left_ = 0;
  int64_t lines_per_step_ = 0;
  int64_t offset_bytes_ = 0;  // within the row
};

}  // namespace moe::cpu::inline MOE_LEVEL
