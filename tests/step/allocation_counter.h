// Counts the allocations of a program: linking this file replaces operator new.
#pragma once
#include <cstdint>
#include <functional>

namespace moe {

// Counts the allocations of all threads.
int64_t allocations_during(const std::function<void()>& work);

}  // namespace moe
