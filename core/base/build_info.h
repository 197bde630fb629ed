// The texts that --version and --build-info print.
#pragma once
#include <string>

namespace moe {

std::string version();                   // "0.2.0 (commit)"
std::string build_info(bool with_cuda);  // one "key: value" per line; with_cuda: cuda::built()
std::string cpu_instruction_set();  // the widest set that the CPU kernels were compiled for: avx512f, avx2, generic

}  // namespace moe
