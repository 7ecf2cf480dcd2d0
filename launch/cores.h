// The cores of a host, shared out among the ranks there: each rank computes on a part of its own, next to its memory,
// and no thread of it wanders onto another's. Launchers may do so themselves, and then have the last word.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "core/graph/communicator.h"

namespace synthesizer {

// The cores that this process may run on, by their numbers: the launcher's choice, within what the host's cgroups
// allow.
std::vector<int> allowed_cores();

// The same cores in an order in which neighbours share most: by NUMA node, package, die and physical core, and its
// hardware threads side by side. `system` is where the kernel tells this; what it does not tell is not looked at.
std::vector<int> in_order_of_nearness(std::vector<int> cores,
                                      const std::filesystem::path& system = "/sys/devices/system");

// The part of `cores` that is `rank`'s of `ranks`: neighbours, at least cores.size() / ranks of them.
std::vector<int> share_of_cores(std::span<const int> cores, int rank, int ranks);

// Threads that this rank computes with: `wanted`; where that is 0 OMP_NUM_THREADS; else its share of the host's cores.
// If all ranks of the host may run on the same cores, and these suffice for the threads of all, this rank is bound to
// its share of them: all threads of the process, and those that they start. Not if a launcher has bound ranks to parts,
// nor with SYNTHESIZER_BIND=none. `host` has the ranks of this host. Collective.
int take_cores(Communicator& host, int wanted);

// The same for a process that is alone: no one to share with.
int threads_of_process();

}  // namespace synthesizer
