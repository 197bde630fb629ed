#include "core/machine/instruction_set.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <utility>

#include "core/base/check.h"
#include "core/base/table.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace moe {

struct InstructionSetEntry {
  const char* name;
  InstructionSet set;
};
static const Table<InstructionSetEntry>& instruction_sets() {
  static const Table<InstructionSetEntry> table{"MOE_CPU_ISA",
                                                {{"portable", InstructionSet::portable},
                                                 {"avx2", InstructionSet::avx2},
                                                 {"avx512", InstructionSet::avx512},
                                                 {"avx512_bf16", InstructionSet::avx512_bf16},
                                                 {"amx", InstructionSet::amx}}};
  return table;
}

template <>
std::vector<std::string> words_of<InstructionSet>() {
  return instruction_sets().names();
}

std::string name_of(InstructionSet set) {
  return words_of<InstructionSet>()[static_cast<size_t>(set)];
}

#if defined(__x86_64__)

// The registers that the operating system saves when it switches between processes.
static uint64_t saved_registers() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

// Linux 5.16 and later give the tile registers to a process that asks for them.
static bool ask_for_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

static InstructionSet ask_processor() {
  const auto has = [](uint32_t bits, std::initializer_list<int> wanted) {
    return std::all_of(wanted.begin(), wanted.end(), [&](int bit) { return bits >> bit & 1; });
  };
  uint32_t a = 0, b = 0, c = 0, d = 0;
  // Bits of leaf 1: FMA, MOVBE, OSXSAVE, AVX, F16C.
  if (!__get_cpuid(1, &a, &b, &c, &d) || !has(c, {12, 22, 27, 28, 29})) return InstructionSet::portable;
  const uint64_t saved = saved_registers();
  constexpr uint64_t kAvx = 0b110, kAvx512 = 0b1110'0110, kTiles = uint64_t{0b11} << 17;
  uint32_t extended = 0;
  if (__get_cpuid(0x80000001, &a, &b, &c, &d)) extended = c;
  // BMI1, AVX2, BMI2; LZCNT.
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has(b, {3, 5, 8}) || !has(extended, {5}) || (saved & kAvx) != kAvx) {
    return InstructionSet::portable;
  }
  // AVX-512 F, DQ, CD, BW, VL.
  if (!has(b, {16, 17, 28, 30, 31}) || (saved & kAvx512) != kAvx512) return InstructionSet::avx2;
  const bool tiles = has(d, {22, 24});  // AMX-BF16, AMX-TILE
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !has(a, {5})) return InstructionSet::avx512;
  if (!tiles || (saved & kTiles) != kTiles || !ask_for_tiles()) return InstructionSet::avx512_bf16;
  return InstructionSet::amx;
}

#else

static InstructionSet ask_processor() {
  return InstructionSet::portable;
}

#endif

InstructionSet widest_instruction_set() {
  static const InstructionSet widest = ask_processor();
  return widest;
}

InstructionSet choose_instruction_set(InstructionSet widest, const std::optional<std::string>& wish) {
  if (!wish || wish->empty()) return widest;
  const InstructionSet set = instruction_sets().at(*wish).set;
  if (set > widest) {
    raise<UsageError>("MOE_CPU_ISA={}: this processor has only {}", *wish, name_of(widest));
  }
  return set;
}

InstructionSet instruction_set() {
  static const InstructionSet chosen = [] {
    const char* wish = std::getenv("MOE_CPU_ISA");
    return choose_instruction_set(widest_instruction_set(), wish ? std::optional<std::string>(wish) : std::nullopt);
  }();
  return chosen;
}

}  // namespace moe
