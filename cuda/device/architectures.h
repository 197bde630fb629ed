// Which devices the kernels of a build run on. A list is CMake's: "80" is machine code for 8.0 and PTX of it, "80-real"
// only the code, "80-virtual" only the PTX, separated by semicolons or commas; "90a" has instructions of 9.0 that no
// other device has.
#pragma once
#include <string>

namespace moe::cuda {

// Machine code runs on devices of the same major version from its minor version on, PTX on all devices from its own
// version on, those of "a" on one alone. True for a list with other words ("native", "all"), about which nothing is
// known.
bool runs_on(const std::string& architectures, int capability);  // capability: 80 for 8.0

// For people: "machine code for 8.0 (8.x) and 9.0, PTX for 8.0 and newer devices".
std::string describe_architectures(const std::string& architectures);

// "8.6"
std::string capability_name(int capability);

// The list of this build.
std::string built_architectures();

}  // namespace moe::cuda
