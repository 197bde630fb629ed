// What goes on beside the threads of a block, and when it is done: MOE_EMULATOR_SCHEDULE decides (emulator.h).
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace emulator {

// 0: threads in order, work in the background as late as can be; 1: backwards, at once; else random.
uint64_t schedule_seed();

// What the hardware does some time from now, whatever this thread does. In no fixed order.
void later(std::function<void()> work);
// Does a piece of it; false when there is none to be done now. `stuck`: no thread can go on without.
bool run_background(bool stuck);
void clear_background();

// Work of one thread that goes on in the background and is waited for by groups.
struct Groups {
  std::vector<std::function<void()>> open;
  std::vector<std::vector<std::function<void()>>> committed;
  void add(std::function<void()> work);
  void commit();
  void wait(size_t pending);  // until at most so many groups are not done
};

}  // namespace emulator
