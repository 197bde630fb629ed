// Threads that are used again, for tests that run ranks as threads thousands of times.
#pragma once
#include <functional>

namespace moe::test {

// Runs task(0) to task(count - 1) at the same time on threads other than the caller's, and returns when all have
// returned; none may throw. Threads are kept for the next call: qemu, which runs the tests for other processors, never
// frees the memory of a thread that has ended.
void run_on_threads(int count, const std::function<void(int)>& task);

}  // namespace moe::test
