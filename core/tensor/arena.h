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

  // LIFO use: rewind(mark()) frees everything that was allocated in between.
  size_t mark() const { return used_; }
  void rewind(size_t mark) { used_ = mark; }
  void reset() { used_ = 0; }

  const std::string& name() const { return name_; }
  size_t used() const { return used_; }
  size_t peak() const { return peak_; }
  size_t capacity() const { return capacity_; }
  bool is_planning() const { return planning_; }

 private:
  std::string name_;
  Device device_;
  bool planning_ = false;
  char* base_ = nullptr;
  size_t capacity_ = 0;
  size_t used_ = 0;
  size_t peak_ = 0;
};

}  // namespace moe
