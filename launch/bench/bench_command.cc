// `synthesizer bench`: the figures of the machine at hand, a file each.
#include "launch/commands.h"

namespace synthesizer {

void add_bench_command(CommandLine& line) {
  line.add("bench", "Measure the machine", "", nullptr);
  add_bench_step_command(line);
  add_bench_comm_command(line);
  add_bench_data_command(line);
  add_bench_kernels_command(line);
}

}  // namespace synthesizer
