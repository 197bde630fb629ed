// Number of times that the host has synchronised with the emulated device.
#pragma once
#include <cstdint>

namespace emulator {
extern int64_t waits;
}
