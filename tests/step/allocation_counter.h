// Counts what a program allocates: linking this replaces its operator new.
#pragma once
#include <cstdint>
#include <functional>

namespace moe {

// Of all threads.
int64_t allocations_during(const std::function<void()>& work);

}  // namespace moe
