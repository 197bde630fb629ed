// Functions that stop in the middle and continue later, each on its own stack. One runs at a time; a scheduler resumes
// it, and it yields back to the scheduler.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace emulator {

class Fiber {
 public:
#if defined(__SANITIZE_ADDRESS__)
  static constexpr size_t kStackBytes = 256 << 10;
#else
  static constexpr size_t kStackBytes = 64 << 10;
#endif

  // Its next resume() starts `entry`, which must not return, whatever the fiber did before.
  void begin(void (*entry)());
  // Called by the scheduler: returns when the fiber yields.
  void resume();
  // Called by the fiber: returns when it is resumed. `for_ever`: it is never resumed.
  void yield(bool for_ever = false);
  bool holds(const void* pointer) const {
    return reinterpret_cast<uintptr_t>(pointer) - reinterpret_cast<uintptr_t>(stack_.get()) < kStackBytes;
  }

 private:
  std::unique_ptr<char[]> stack_ = std::make_unique_for_overwrite<char[]>(kStackBytes);
  void* stack_pointer_ = nullptr;
  void (*entry_)() = nullptr;
};

}  // namespace emulator
