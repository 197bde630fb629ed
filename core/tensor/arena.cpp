#include "core/tensor/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "core/base/units.h"
#include "core/tensor/device.h"

namespace moe {

static constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 register
static constexpr size_t kHugePage = size_t{2} << 20;
// Addresses between the starts of two planning arenas, and from a planning arena's start to its upper end.
static constexpr size_t kPlannedSpacing = size_t{1} << 40, kPlannedRange = size_t{1} << 39;

Arena::Arena(std::string name, Device device, size_t capacity, bool managed)
    : name_(std::move(name)), device_(device), capacity_((capacity + kHugePage - 1) / kHugePage * kHugePage) {
  if (capacity_ == 0) return;
  if (device_ == Device::cuda) {
    const cuda::MemoryInfo memory = cuda::memory_info();
    // Managed memory beyond the device's size would be paged in and out.
    if (!managed)
      base_ = static_cast<char*>(cuda::allocate(capacity_));
    else if (capacity_ <= memory.free_bytes)
      base_ = static_cast<char*>(cuda::allocate_managed(capacity_));
    if (base_) return;
    raise<DeviceError>(
        "out of GPU memory: the arena '{}' needs {}, but {} of the device's {} are free; raise train.micro_batches to "
        "reduce activations and scratch, or use more ranks (parallel.expert) to reduce parameters, gradients and "
        "optimizer; --dry-run shows all of them",
        name_, format_bytes(static_cast<double>(capacity_)), format_bytes(static_cast<double>(memory.free_bytes)),
        format_bytes(static_cast<double>(memory.total_bytes)));
  }
  void* address = mmap(nullptr, capacity_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    raise<DeviceError>("cannot reserve {} for the arena '{}': {}", format_bytes(static_cast<double>(capacity_)), name_,
                       std::strerror(errno));
  }
  madvise(address, capacity_, MADV_HUGEPAGE);  // a hint: fewer TLB misses in the matrix products
  base_ = static_cast<char*>(address);
}

Arena Arena::planning(std::string name, Device device) {
  Arena arena(std::move(name), Device::cpu, 0);
  arena.device_ = device;
  arena.planning_ = true;
  arena.capacity_ = std::numeric_limits<size_t>::max();
  // Faults when accessed. Each arena begins somewhere else, so that no two tensors have the same address.
  static std::atomic<uintptr_t> arenas = 0;
  arena.base_ = reinterpret_cast<char*>(++arenas * kPlannedSpacing);
  return arena;
}

Arena::Arena(Arena&& other) noexcept
    : name_(std::move(other.name_)),
      device_(other.device_),
      planning_(other.planning_),
      base_(std::exchange(other.base_, nullptr)),
      capacity_(other.capacity_),
      lower_(other.lower_),
      upper_(other.upper_),
      peak_(other.peak_) {}

Arena::~Arena() {
  if (!base_ || planning_) return;
  if (device_ == Device::cuda)
    cuda::release(base_);
  else
    munmap(base_, capacity_);
}

Tensor Arena::claim(size_t& used_here, Shape shape, DType dtype) {
  Tensor tensor{nullptr, shape, dtype, device_};
  const size_t bytes = (tensor.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  if (bytes > capacity_ - used()) {
    raise<DeviceError>(
        "the arena '{}' is full: {} of {} in use, {} more needed for a tensor {}; raise train.micro_batches to need "
        "less",
        name_, format_bytes(static_cast<double>(used())), format_bytes(static_cast<double>(capacity_)),
        format_bytes(static_cast<double>(bytes)), shape.to_string());
  }
  used_here += bytes;
  peak_ = std::max(peak_, used());
  return tensor;
}

Tensor Arena::allocate(Shape shape, DType dtype) {
  const size_t begin = lower_;
  Tensor tensor = claim(lower_, shape, dtype);
  tensor.data = base_ + begin;
  return tensor;
}

Tensor Arena::allocate_upper(Shape shape, DType dtype) {
  Tensor tensor = claim(upper_, shape, dtype);
  tensor.data = base_ + (planning_ ? kPlannedRange : capacity_) - upper_;
  return tensor;
}

}  // namespace moe
