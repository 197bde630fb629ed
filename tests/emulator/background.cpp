#include "tests/emulator/background.h"

#include <cstdlib>
#include <random>

namespace emulator {

uint64_t schedule_seed() {
  static const char* text = std::getenv("MOE_EMULATOR_SCHEDULE");
  static const uint64_t seed = text ? std::strtoull(text, nullptr, 10) : 0;
  return seed;
}
static std::mt19937_64 order(schedule_seed());

struct Work {
  std::function<void()> work;
  bool late;
};
static std::vector<Work> background;

void clear_background() {
  background.clear();
}

void later(std::function<void()> work) {
  if (schedule_seed() == 1) return work();
  background.push_back({std::move(work), schedule_seed() == 0 || order() % 2 == 0});
}

// With a random schedule half of the work waits until no thread can continue, so that a later copy may finish long
// before an earlier one.
bool run_background(bool stuck) {
  const uint64_t seed = schedule_seed();
  if (!stuck && (seed <= 1 || order() % 4 != 0)) return false;
  std::vector<size_t> candidates;
  for (size_t i = 0; i < background.size(); ++i) {
    if (stuck || !background[i].late) candidates.push_back(i);
  }
  if (candidates.empty()) return false;
  const size_t i = candidates[seed > 1 ? order() % candidates.size() : 0];
  const std::function<void()> work = std::move(background[i].work);
  background.erase(background.begin() + static_cast<std::ptrdiff_t>(i));
  work();
  return true;
}

void Groups::add(std::function<void()> work) {
  if (schedule_seed() == 1) {
    work();
    work = [] {};
  }
  open.push_back(std::move(work));
}

void Groups::commit() {
  committed.push_back(std::move(open));
  open.clear();
  if (schedule_seed() > 1 && order() % 2 == 0) {
    for (auto& group : committed) {
      for (auto& work : group) work();
      group.clear();
    }
  }
}

void Groups::wait(size_t pending) {
  while (committed.size() > pending) {
    for (auto& work : committed.front()) work();
    committed.erase(committed.begin());
  }
}

}  // namespace emulator
