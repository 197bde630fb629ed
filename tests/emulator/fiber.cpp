#include "tests/emulator/fiber.h"

#include <cstdlib>

#if !defined(__x86_64__)
#include <ucontext.h>

#include <vector>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {

#if defined(__x86_64__)
// Saves the registers that a function must preserve, switches stacks, and restores them.
extern "C" void emulator_switch(void** save_stack_pointer, void* stack_pointer);
asm(R"(
.text
.globl emulator_switch
.type emulator_switch, @function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch, .-emulator_switch
)");

// The stack pointer of a fiber that starts at `entry`.
static void* new_stack_pointer(char* stack, void (*entry)()) {
  auto* top = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack + Fiber::kStackBytes) & ~uintptr_t{15});
  *--top = nullptr;  // the alignment that a function expects at its entry
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  return top;
}
#else
static void emulator_switch(void** save, void* to) {
  static std::vector<std::unique_ptr<ucontext_t> > saved;
  auto* from = new ucontext_t;
  saved.emplace_back(from);
  *save = from;
  swapcontext(from, static_cast<ucontext_t*>(to));
}

static void* new_stack_pointer(char* stack, void (*entry)()) {
  auto* fiber = new ucontext_t;
  getcontext(fiber);
  fiber->uc_stack.ss_sp = stack;
  fiber->uc_stack.ss_size = Fiber::kStackBytes;
  fiber->uc_link = nullptr;
  makecontext(fiber, entry, 0);
  return fiber;
}
#endif

// AddressSanitizer must be notified of every switch of stacks.
#if defined(__SANITIZE_ADDRESS__)
static const void* host_stack = nullptr;
static size_t host_stack_bytes = 0;
static void leave(void** fake_stack, const void* to, size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, to, bytes);
}
static void arrive(void* fake_stack, bool from_host) {
  __sanitizer_finish_switch_fiber(fake_stack, from_host ? &host_stack : nullptr,
                                  from_host ? &host_stack_bytes : nullptr);
}
#else
static const void* host_stack = nullptr;
static size_t host_stack_bytes = 0;
static void leave(void**, const void*, size_t) {}
static void arrive(void*, bool) {}
#endif

static void* scheduler = nullptr;  // its stack pointer
static void (*entry_of_next)() = nullptr;

static void enter() {
  arrive(nullptr, true);
  entry_of_next();
  std::abort();  // there is nothing to return to
}

void Fiber::begin(void (*entry)()) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_.get(), kStackBytes);
#endif
  entry_ = entry;
  stack_pointer_ = new_stack_pointer(stack_.get(), &enter);
}

void Fiber::resume() {
  void* fake_stack = nullptr;
  entry_of_next = entry_;
  leave(&fake_stack, stack_.get(), kStackBytes);
  emulator_switch(&scheduler, stack_pointer_);
  arrive(fake_stack, false);
}

void Fiber::yield(bool for_ever) {
  void* fake_stack = nullptr;
  leave(for_ever ? nullptr : &fake_stack, host_stack, host_stack_bytes);
  emulator_switch(&stack_pointer_, scheduler);
  arrive(fake_stack, true);
}

}  // namespace emulator
