// How often the host has waited for the emulated device.
#pragma once
#include <cstdint>

namespace emulator {
extern int64_t waits;
}
