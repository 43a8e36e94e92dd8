// Switching between stacks: by hand on x86-64, by ucontext elsewhere.
#pragma once
#include <cstddef>
#include <cstdint>
#include <sys/mman.h>

namespace emu {

constexpr size_t STACK_BYTES = 64 << 10;

inline unsigned char* new_stack() {
    void* memory = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<unsigned char*>(memory);
}

#if defined(__x86_64__)

using Context = void*;

// Saves what a callee must keep, stores the stack pointer to `from` and goes on where `to` was left.
extern "C" void emu_switch(void** from, void* to);
asm(R"(
.text
.globl emu_switch
.type emu_switch,@function
emu_switch:
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
.size emu_switch,.-emu_switch
)");

inline void switch_to(Context& from, Context& to) { emu_switch(&from, to); }

// A context that starts `entry` on an empty stack; `entry` never returns.
inline Context start_at(unsigned char* stack, void (*entry)()) {
    auto top = reinterpret_cast<void**>(stack + STACK_BYTES);
    *--top = nullptr; // where a call would have put its return address: keeps the stack aligned
    *--top = reinterpret_cast<void*>(entry);
    for (int registers = 0; registers < 6; ++registers) *--top = nullptr;
    return top;
}

#else

} // namespace emu
#include <ucontext.h>
namespace emu {

using Context = ucontext_t;

inline void switch_to(Context& from, Context& to) { swapcontext(&from, &to); }

inline Context start_at(unsigned char* stack, void (*entry)()) {
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
    return context;
}

#endif

} // namespace emu
