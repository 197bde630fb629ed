// The namespace of the instruction set that a kernel is compiled for. Everything in core/ops/kernels is compiled once
// per instruction set (CMakeLists.txt), each time in the namespace moe::cpu::MOE_LEVEL, and core/ops/cpu_kernels.h
// chooses between them when the program runs. What these files define must be in that namespace, in an unnamed one or
// static. Of equal inline functions the linker keeps one, which might use instructions that the processor lacks. A test
// looks for such symbols (scripts/check_kernel_symbols).
#pragma once

#ifndef MOE_LEVEL
#define MOE_LEVEL portable  // code that is compiled once may use the small inline functions too
#endif

namespace moe::cpu {
inline namespace MOE_LEVEL {}
}  // namespace moe::cpu
