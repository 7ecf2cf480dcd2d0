#include "tests/support/allocations.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include "core/base/error.h"

extern "C" void* __libc_malloc(size_t);
extern "C" void* __libc_calloc(size_t, size_t);
extern "C" void* __libc_realloc(void*, size_t);
extern "C" void* __libc_memalign(size_t, size_t);
extern "C" void __libc_free(void*);

namespace {

using synthesizer::AllocatedBlock;

// What is kept while `g_keeps`. Keeping allocates nothing.
constexpr size_t kMost = size_t{1} << 20;
AllocatedBlock g_own[kMost];
std::atomic<size_t> g_own_count{0};
std::atomic<int64_t> g_others{0}, g_others_bytes{0};
std::atomic<bool> g_keeps{false};

// Where code counts as the program's: the executable itself, and the C++ library, whose allocations (of a string, say)
// are its caller's.
struct Code {
  uintptr_t begin, end;
};
Code g_own_code[2];

bool is_own(const void* caller) {
  const auto at = reinterpret_cast<uintptr_t>(caller);
  for (const Code& code : g_own_code)
    if (code.begin <= at && at < code.end) return true;
  return false;
}

void keep(size_t bytes, void* caller, bool aligned = false) {
  if (!g_keeps.load(std::memory_order_relaxed)) return;
  if (is_own(caller)) {
    if (const size_t index = g_own_count.fetch_add(1); index < kMost)
      g_own[index] = {bytes, caller, pthread_self(), aligned};
  } else {
    ++g_others;
    g_others_bytes += static_cast<int64_t>(bytes);
  }
}

void* new_or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

uintptr_t g_base_of_program = 0;

int find_code(dl_phdr_info* object, size_t, void*) {
  const std::string name = object->dlpi_name;
  const bool program = name.empty() && g_base_of_program == 0;  // the first object is the program
  if (!program && name.find("libstdc++") == std::string::npos) return 0;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& part = object->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    const uintptr_t begin = object->dlpi_addr + part.p_vaddr;
    g_own_code[program ? 0 : 1] = {begin, begin + part.p_memsz};
  }
  if (program) g_base_of_program = object->dlpi_addr;
  return 0;
}

}  // namespace

extern "C" {
void* malloc(size_t bytes) {
  keep(bytes, __builtin_return_address(0));
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  keep(count * bytes, __builtin_return_address(0));
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, size_t bytes) {
  keep(bytes, __builtin_return_address(0));
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  keep(bytes, __builtin_return_address(0));
  return __libc_memalign(alignment, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  keep(bytes, __builtin_return_address(0));
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, size_t alignment, size_t bytes) {
  keep(bytes, __builtin_return_address(0), true);
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
}

void* operator new(size_t bytes) {
  keep(bytes, __builtin_return_address(0));
  return new_or_throw(__libc_malloc(bytes));
}
void* operator new[](size_t bytes) {
  keep(bytes, __builtin_return_address(0));
  return new_or_throw(__libc_malloc(bytes));
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  keep(bytes, __builtin_return_address(0));
  return new_or_throw(__libc_memalign(static_cast<size_t>(alignment), bytes));
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  keep(bytes, __builtin_return_address(0));
  return new_or_throw(__libc_memalign(static_cast<size_t>(alignment), bytes));
}
void operator delete(void* memory) noexcept { __libc_free(memory); }
void operator delete[](void* memory) noexcept { __libc_free(memory); }
void operator delete(void* memory, size_t) noexcept { __libc_free(memory); }
void operator delete[](void* memory, size_t) noexcept { __libc_free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { __libc_free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { __libc_free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { __libc_free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { __libc_free(memory); }

namespace synthesizer {

void keep_allocations() {
  CHECK(!g_keeps, "allocations are being kept already");
  if (g_base_of_program == 0) dl_iterate_phdr(find_code, nullptr);
  for (const Code& code : g_own_code) CHECK(code.end > 0, "the code of the program and the C++ library was not found");
  g_own_count = 0;
  g_others = g_others_bytes = 0;
  g_keeps = true;
}

Allocations kept_allocations() {
  g_keeps = false;
  const size_t count = g_own_count;
  CHECK(count <= kMost, "{} allocations, at most {} can be kept", count, kMost);
  return {{g_own, g_own + count}, g_others, g_others_bytes};
}

std::string describe(const std::vector<AllocatedBlock>& allocations) {
  std::string text;
  for (const AllocatedBlock& a : allocations)
    text += fmt::format("{} bytes at {:#x}\n", a.bytes, reinterpret_cast<uintptr_t>(a.caller) - g_base_of_program);
  return text;
}

}  // namespace synthesizer
