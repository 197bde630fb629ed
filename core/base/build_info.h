// The texts that --version and --build-info print.
#pragma once
#include <string>

namespace moe {

std::string version();  // "0.2.0 (commit)"
// One "key: value" per line; cuda: cuda::build_description(). What the program finds on the machine is not in it.
std::string build_info(const std::string& cuda);

}  // namespace moe
