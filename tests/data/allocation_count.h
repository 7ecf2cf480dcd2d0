// Counts the allocations of one thread: this test program's operator new is its own.
#pragma once

#include <cstdint>

namespace synthesizer::testing {

// Begins to count those of the calling thread.
void count_allocations();
// Ends it; how many there were.
int64_t allocations_counted();

}  // namespace synthesizer::testing
