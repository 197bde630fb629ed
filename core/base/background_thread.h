// Threads beside the main thread.
#pragma once
#include <functional>
#include <thread>

namespace moe {

// Starts a thread that no signal interrupts: those are for the main thread.
std::thread background_thread(std::function<void()> work);

}  // namespace moe
