#include "core/ops/cpu_kernels.h"

#include "core/base/check.h"

namespace moe::cpu {

// Defined by the files of core/ops/kernels. CMakeLists.txt says which of them this build has.
#ifdef MOE_PORTABLE_KERNELS
namespace portable {
extern const KernelTable table;
}
#endif
#ifdef MOE_X86_KERNELS
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
namespace avx512_bf16 {
extern const Bf16Kernels kernels;
}
namespace amx {
extern const Bf16Kernels kernels;
}

// The kernels of AVX-512 with other products of bf16.
static KernelTable with_bf16(const Bf16Kernels& kernels) {
  KernelTable table = avx512::table;
  table.bf16 = kernels;
  return table;
}
#endif

const KernelTable* kernel_table_of(InstructionSet set) {
  switch (set) {
#ifdef MOE_PORTABLE_KERNELS
    case InstructionSet::portable:
      return &portable::table;
#endif
#ifdef MOE_X86_KERNELS
    case InstructionSet::avx2:
      return &avx2::table;
    case InstructionSet::avx512:
      return &avx512::table;
    case InstructionSet::avx512_bf16: {
      static const KernelTable table = with_bf16(avx512_bf16::kernels);
      return &table;
    }
    case InstructionSet::amx: {
      static const KernelTable table = with_bf16(amx::kernels);
      return &table;
    }
#endif
    default:
      return nullptr;
  }
}

const KernelTable& kernel_table() {
  static const KernelTable& chosen = [&]() -> const KernelTable& {
    const InstructionSet set = instruction_set();
    if (const KernelTable* table = kernel_table_of(set)) return *table;
    if (set == widest_instruction_set()) {
      raise<DeviceError>("this build needs a processor with AVX2; build it with -DMOE_CPU_ARCH= for others");
    }
    raise<UsageError>("MOE_CPU_ISA={}: this build has no such kernels", name_of(set));
  }();
  return chosen;
}

template <>
const CpuKernels<float>& cpu_kernels() {
  return kernel_table().f32;
}
template <>
const CpuKernels<double>& cpu_kernels() {
  return kernel_table().f64;
}

static void require_full(Products products) {
  MOE_CHECK(products == Products::full, "{} products of f64", name_of(products));
}

template <>
const GemmKernel<float>& gemm_kernel(Products products) {
  return products == Products::bf16 ? kernel_table().bf16.gemm : kernel_table().f32.gemm;
}
template <>
const GemmKernel<double>& gemm_kernel(Products products) {
  require_full(products);
  return kernel_table().f64.gemm;
}

template <>
const AttentionKernels<float>& attention_kernels(Products products) {
  return products == Products::bf16 ? kernel_table().bf16.attention : kernel_table().f32.attention;
}
template <>
const AttentionKernels<double>& attention_kernels(Products products) {
  require_full(products);
  return kernel_table().f64.attention;
}

}  // namespace moe::cpu
