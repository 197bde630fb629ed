// Asynchronous work besides the threads of a block, and when it is done: MOE_EMULATOR_SCHEDULE decides (emulator.h).
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace emulator {

// 0: threads in order, asynchronous work as late as possible; 1: threads in reverse order, asynchronous work at once;
// other values: random.
uint64_t schedule_seed();

// Schedules work that the hardware does at some later time, independently of this thread. In no fixed order.
void later(std::function<void()> work);
// Does one piece of that work; returns false when there is none to be done now. `stuck`: no thread can continue without
// it.
bool run_background(bool stuck);
void clear_background();

// Asynchronous work of one thread, for which it waits in groups.
struct Groups {
  std::vector<std::function<void()>> open;
  std::vector<std::vector<std::function<void()>>> committed;
  void add(std::function<void()> work);
  void commit();
  void wait(size_t pending);  // until at most `pending` groups are not complete
};

}  // namespace emulator
