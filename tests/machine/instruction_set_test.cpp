#include "core/machine/instruction_set.h"

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace moe::test {

TEST_CASE("MOE_CPU_ISA names an instruction set that the processor has") {
  CHECK(choose_instruction_set(InstructionSet::avx512, std::nullopt) == InstructionSet::avx512);
  CHECK(choose_instruction_set(InstructionSet::avx512, "") == InstructionSet::avx512);
  CHECK(choose_instruction_set(InstructionSet::amx, "avx2") == InstructionSet::avx2);
  CHECK(choose_instruction_set(InstructionSet::amx, "amx") == InstructionSet::amx);
  CHECK_THROWS_AS(choose_instruction_set(InstructionSet::avx2, "avx512"), UsageError);
  CHECK_THROWS_AS(choose_instruction_set(InstructionSet::amx, "sse"), UsageError);
}

TEST_CASE("every instruction set has a name, in the order in which they include each other") {
  CHECK(words_of<InstructionSet>() == std::vector<std::string>{"portable", "avx2", "avx512", "avx512_bf16", "amx"});
  CHECK(name_of(InstructionSet::portable) == "portable");
  CHECK(name_of(InstructionSet::amx) == "amx");
}

}  // namespace moe::test
