// An arena: one named range of memory from which tensors are bump-allocated. On the CPU the range is reserved address
// space whose pages become resident when they are first touched, so reserving the worst case costs nothing. On a GPU it
// is allocated in full, before the first step. In planning mode an arena only counts bytes and returns addresses that
// must not be accessed; `--dry-run` runs the real training step in this mode.
#pragma once
#include <cstddef>
#include <string>

#include "core/tensor/tensor.h"

namespace moe {

class Arena {
 public:
  // Reserves `capacity` bytes. Throws a DeviceError that names the arena if the allocation fails. `managed`: on a GPU,
  // memory that the host can also access.
  Arena(std::string name, Device device, size_t capacity, bool managed = false);
  // An arena that only counts bytes.
  static Arena planning(std::string name, Device device);

  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&&) = delete;
  ~Arena();

  // A tensor at a 64-byte boundary, uninitialised. Throws a DeviceError that names the arena if it is full.
  Tensor allocate(Shape shape, DType dtype);

  // The same at the upper end of the range, which rewind() does not free.
  Tensor allocate_upper(Shape shape, DType dtype);

  // LIFO use: rewind(mark()) frees everything that was allocated in between. Each end has its own marks.
  size_t mark() const { return lower_; }
  void rewind(size_t mark) { lower_ = mark; }
  size_t upper_mark() const { return upper_; }
  void rewind_upper(size_t mark) { upper_ = mark; }
  void reset() { lower_ = upper_ = 0; }

  const std::string& name() const { return name_; }
  size_t used() const { return lower_ + upper_; }
  size_t peak() const { return peak_; }
  size_t capacity() const { return capacity_; }
  bool is_planning() const { return planning_; }

 private:
  // The tensor without its address, whose bytes are counted as in use at the end `used`.
  Tensor claim(size_t& used, Shape shape, DType dtype);

  std::string name_;
  Device device_;
  bool planning_ = false;
  char* base_ = nullptr;
  size_t capacity_ = 0;
  size_t lower_ = 0, upper_ = 0;  // bytes in use at each end
  size_t peak_ = 0;
};

}  // namespace moe
