// The instruction sets that the CPU kernels exist for, and the one that this process uses.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/base/words.h"

namespace moe {

// In ascending order: each includes those before it. `portable` is what the compiler makes for any processor of the
// build's architecture; it is the only one where that is not x86-64. The last two add products of bf16 numbers.
enum class InstructionSet {
  portable,
  avx2,         // x86-64-v3: AVX2, FMA
  avx512,       // x86-64-v4: AVX-512 F, BW, CD, DQ, VL
  avx512_bf16,  // and vdpbf16ps
  amx,          // and tiles: tdpbf16ps
};

std::string name_of(InstructionSet set);
template <>
std::vector<std::string> words_of<InstructionSet>();

// What the processor offers, and the kernel lets programs use. Asks Linux for the tile registers of AMX, which it lends
// to the whole process.
InstructionSet widest_instruction_set();

// The instruction set for the kernels: the widest, or that which MOE_CPU_ISA names. Throws UsageError when the variable
// names one that is unknown or that this processor lacks.
InstructionSet instruction_set();

// As above, from given facts. `wish`: the value of MOE_CPU_ISA, if it is set.
InstructionSet choose_instruction_set(InstructionSet widest, const std::optional<std::string>& wish);

}  // namespace moe
