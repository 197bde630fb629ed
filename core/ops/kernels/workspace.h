// Memory of a thread that grows with the largest call and is kept for later ones.
#pragma once
#include <cstdint>
#include <memory>

#include "core/base/integer.h"
#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

// Divides the calling thread's memory into pieces that start at cache lines. What a piece holds at first is what an
// earlier call left there. `User` is any type: each has memory of its own, so its calls must not be nested.
template <class User>
class Workspace {
 public:
  // With room for `bytes`, the padding of the pieces included.
  explicit Workspace(int64_t bytes) {
    struct Memory {
      std::unique_ptr<char[]> bytes;
      int64_t size = 0;
    };
    static thread_local Memory memory;
    if (memory.size < bytes + kLineBytes) {
      memory.bytes.reset();
      memory.bytes.reset(new char[static_cast<size_t>(bytes + kLineBytes)]());
      memory.size = bytes + kLineBytes;
    }
    next_ = reinterpret_cast<char*>(round_up(reinterpret_cast<intptr_t>(memory.bytes.get()), kLineBytes));
  }

  template <class E>
  E* take(int64_t count) {
    E* const piece = reinterpret_cast<E*>(next_);
    next_ += room<E>(count);
    return piece;
  }
  // The bytes that a piece takes.
  template <class E>
  static int64_t room(int64_t count) {
    return round_up(count * static_cast<int64_t>(sizeof(E)), kLineBytes);
  }

 private:
  static constexpr int64_t kLineBytes = 64;
  char* next_;
};

}  // namespace moe::cpu::inline MOE_LEVEL
